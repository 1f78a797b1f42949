import { startLiveCoordinator } from './live-coordinator.mjs'
import { startSubscribers } from './readers.mjs'

/** A database, a key, a coordinator that tells metrics, and the process of the subscribers; APIs on them are started as needed. `stop` ends all of it. */
export async function liveStack({ recordsPerMessage } = {}) {
  const { benchServer } = await import('./database.mjs')
  const { startApi } = await import('./processes.mjs')
  const { makeKeys, tenantName } = await import('./jobs.mjs')
  const server = await benchServer()
  const running = []
  const keep = (started) => {
    running.push(started)
    return started
  }
  async function stop() {
    for (const one of running.reverse()) await one.stop()
    await server.stop()
  }
  try {
    const databaseUrl = await server.database('api')
    const [key] = await makeKeys(databaseUrl, 1)
    const coordinator = keep(await startLiveCoordinator({ tenant: tenantName(0), recordsPerMessage }))
    const env = {
      DATABASE_URL: databaseUrl,
      SCAIMIND_GRPC_PORT: String(coordinator.port),
      SCAIMIND_API_SECRET: 'bench-secret-0123456789',
      // Limits stay on, but are not what is measured.
      SCAIMIND_MAX_SUBSCRIPTIONS_PER_KEY: '1000000',
    }
    return {
      authorization: `Bearer ${key}`,
      coordinator,
      readers: keep(startSubscribers()),
      api: async (settings = {}) => keep(await startApi({ ...env, ...settings })),
      /** Stops this one with the others. */
      keep,
      stop,
    }
  } catch (error) {
    await stop()
    throw error
  }
}
