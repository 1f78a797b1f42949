import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { onTestFailed } from 'vitest'
import { freshDatabase } from './database.js'
import { keptMarker } from './global-setup.js'
import { endAttempts } from './leftovers.js'
import { Service } from './service.js'
import { Tenant } from './tenant.js'

/** A coordinator and an API as real processes, on databases and a data folder of their own. */
export interface Stack {
  dataDir: string
  coordinator: Service
  api: Service
  /** The secret that may act for all tenants at the coordinator. */
  secret: string
  /** A tenant of its own with a key that may do everything, or only what `grants` say. */
  tenant(options?: { grants?: string[]; id?: string }): Promise<Tenant>
  /** Stops both. Keeps data folder and databases where `keep` was called. */
  close(): Promise<void>
}

/** Starts a stack; settings overrule the environment variables of both processes. */
export async function startStack(settings: Record<string, string> = {}): Promise<Stack> {
  const dataDir = mkdtempSync(join(tmpdir(), 'scaimind-stack-'))
  const secret = randomBytes(24).toString('hex')
  const databases = { api: await freshDatabase('api'), coordinator: await freshDatabase('coordinator') }
  const shared = {
    SCAIMIND_DATA_DIR: dataDir,
    SCAIMIND_API_SECRET: secret,
    DATABASE_URL: databases.api,
    COORDINATOR_DATABASE_URL: databases.coordinator,
    SCAIMIND_ALLOW_CUSTOM_CODE: 'true',
    SCAIMIND_CPU_SLOTS: '2',
    // Whether this machine has the trainer for real models is nothing that tests depend on.
    XDG_CACHE_HOME: dataDir,
    SCAIMIND_HF_ENDPOINT: '',
    ...settings,
  }
  const coordinator = new Service('coordinator', shared, join(dataDir, 'coordinator.log'))
  await coordinator.start()
  const api = new Service('api', { ...shared, SCAIMIND_GRPC_PORT: String(coordinator.port) }, join(dataDir, 'api.log'))
  await api.start()
  const tenants: Tenant[] = []
  return {
    dataDir,
    coordinator,
    api,
    secret,
    async tenant(options) {
      const tenant = await Tenant.create({ dataDir, databaseUrl: databases.api, origin: () => `127.0.0.1:${api.port}`, ...options })
      tenants.push(tenant)
      return tenant
    },
    async close() {
      await Promise.all(tenants.map((tenant) => tenant.close()))
      await api.stop()
      await coordinator.stop()
      await endAttempts(dataDir)
      if (!kept.has(dataDir)) rmSync(dataDir, { recursive: true, force: true })
    },
  }
}

const kept = new Set<string>()

/** In a test: where it fails, the stack's folder stays and its place is printed. */
export function keepOnFailure(stack: Stack): void {
  onTestFailed(() => {
    kept.add(stack.dataDir)
    writeFileSync(join(tmpdir(), keptMarker), '')
    process.stderr.write(`Kept for a look: ${stack.dataDir}\n`)
  })
}
