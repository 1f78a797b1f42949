import { mkdirSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'

const root = resolve(import.meta.dirname, '../..')
const secret = 'bench-secret-0123456789'

/** The real coordinator and the API in front of it, each a process of its own, and one tenant with a file of records. `settings` are for both. */
export async function realStack(settings = {}) {
  const { freePort } = await import('../../dist/database/free-port.js')
  const { benchServer } = await import('./database.mjs')
  const { makeKeys, tenantName } = await import('./jobs.mjs')
  const { endAttempts } = await import('./leftovers.mjs')
  const { startApi, startServer } = await import('./processes.mjs')
  const server = await benchServer()
  const dataDir = join(server.folder, 'data')
  const servers = {}
  async function stop() {
    await servers.api?.stop()
    await servers.coordinator?.stop()
    await endAttempts(dataDir)
    await server.stop()
  }
  try {
    const [databaseUrl, coordinatorUrl] = [await server.database('api'), await server.database('coordinator')]
    const [key] = await makeKeys(databaseUrl, 1)
    const tenant = tenantName(0)
    const files = join(dataDir, 'tenants', tenant, 'files')
    mkdirSync(files, { recursive: true })
    const path = join(files, 'train.jsonl')
    writeFileSync(
      path,
      Array.from({ length: 50 }, (_, index) => `${JSON.stringify({ text: `Record ${index} of the benchmark.` })}\n`).join(''),
    )
    const ports = { coordinator: String(await freePort()), api: String(await freePort()) }
    const shared = {
      SCAIMIND_API_SECRET: secret,
      SCAIMIND_LOG_LEVEL: 'warn',
      SCAIMIND_DATA_DIR: dataDir,
      DATABASE_URL: databaseUrl,
      ...settings,
    }
    const starts = {
      coordinator: () =>
        startServer(join(root, 'dist/cli/main.js'), {
          args: ['coordinator'],
          env: { ...shared, COORDINATOR_DATABASE_URL: coordinatorUrl, SCAIMIND_COORDINATOR_PORT: ports.coordinator },
        }),
      api: () => startApi({ ...shared, SCAIMIND_GRPC_PORT: ports.coordinator, SCAIMIND_PORT: ports.api }),
    }
    servers.coordinator = await starts.coordinator()
    servers.api = await starts.api()
    return {
      get api() {
        return servers.api
      },
      get coordinator() {
        return servers.coordinator
      },
      key,
      tenant,
      secret,
      path,
      files,
      /** The folder of a job's first attempt. */
      attemptFolder: (jobId) => join(dataDir, 'jobs', tenant, jobId, 'attempts/1'),
      /** `kill -9` of `api` or `coordinator`, and a new one on the same port at once. Resolves when that listens. */
      async killAndStart(name) {
        await servers[name].kill()
        servers[name] = await starts[name]()
      },
      stop,
    }
  } catch (error) {
    await stop()
    throw error
  }
}

/** A job that waits, so that none of them trains. */
export const waitingJob = (path, name) => ({
  name,
  training_config: { training_type: 'LORA', base_model: { model_id: 'scaimind/byte-tiny' }, hyperparameters: { max_steps: '10' } },
  data_config: { sources: [{ path }], max_seq_length: 64 },
  resource_config: { gpu_count: 0 },
  scheduling_config: { start_after: { seconds: '4102444800', nanos: 0 } },
})
