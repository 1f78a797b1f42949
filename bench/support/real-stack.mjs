import { mkdirSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'

const root = resolve(import.meta.dirname, '../..')
const secret = 'bench-secret-0123456789'

/** The real coordinator and the API in front of it, each a process of its own, and one tenant with a file of records. */
export async function realStack() {
  const { benchServer } = await import('./database.mjs')
  const { makeKeys, tenantName } = await import('./jobs.mjs')
  const { startApi, startServer } = await import('./processes.mjs')
  const server = await benchServer()
  const running = []
  try {
    const [databaseUrl, coordinatorUrl] = [await server.database('api'), await server.database('coordinator')]
    const [key] = await makeKeys(databaseUrl, 1)
    const tenant = tenantName(0)
    const dataDir = join(server.folder, 'data')
    const files = join(dataDir, 'tenants', tenant, 'files')
    mkdirSync(files, { recursive: true })
    const path = join(files, 'train.jsonl')
    writeFileSync(
      path,
      Array.from({ length: 50 }, (_, index) => `${JSON.stringify({ text: `Record ${index} of the benchmark.` })}\n`).join(''),
    )
    const shared = { SCAIMIND_API_SECRET: secret, SCAIMIND_LOG_LEVEL: 'warn', SCAIMIND_DATA_DIR: dataDir }
    const coordinator = await startServer(join(root, 'dist/cli/main.js'), {
      args: ['coordinator'],
      env: { ...shared, COORDINATOR_DATABASE_URL: coordinatorUrl, DATABASE_URL: databaseUrl, SCAIMIND_COORDINATOR_PORT: '0' },
    })
    running.push(coordinator)
    const api = await startApi({ ...shared, DATABASE_URL: databaseUrl, SCAIMIND_GRPC_PORT: String(coordinator.port) })
    running.push(api)
    return {
      api,
      coordinator,
      key,
      tenant,
      secret,
      path,
      async stop() {
        for (const one of running.reverse()) await one.stop()
        await server.stop()
      },
    }
  } catch (error) {
    for (const one of running.reverse()) await one.stop()
    await server.stop()
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
