import type { ApiKeyStore } from '../api/auth/api-keys.js'

/** Works with the API keys of a database, and lets go of it afterwards. */
export async function withApiKeys<T>(databaseUrl: string, work: (keys: ApiKeyStore) => Promise<T>): Promise<T> {
  // Loaded here, since most commands do without a database.
  const { apiKeyStore } = await import('../api/auth/api-keys.js')
  const { openDatabase } = await import('../api/cache/database.js')
  const database = openDatabase(databaseUrl, { connections: 1 })
  const keys = apiKeyStore(database)
  try {
    return await work(keys)
  } finally {
    keys.close()
    await database.$disconnect()
  }
}
