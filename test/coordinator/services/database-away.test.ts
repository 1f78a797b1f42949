import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { status as grpc } from '@grpc/grpc-js'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { migrate } from '../../../src/database/migrate.js'
import { type PrivateServer, startPrivateServer } from '../../../src/database/private-server.js'
import { type CoordinatorTenant, keepOnFailure, startTestCoordinator, type TestCoordinator } from '../../support/coordinator.js'

let folder: string
let database: PrivateServer
let coordinator: TestCoordinator
let tenant: CoordinatorTenant

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'scaimind-test-'))
  database = await startPrivateServer(folder)
  const databaseUrl = Object.assign(new URL(database.url), { pathname: '/away' }).href
  await migrate({
    url: databaseUrl,
    setting: 'the test database',
    folder: resolve(import.meta.dirname, '../../../prisma/coordinator/migrations'),
  })
  coordinator = await startTestCoordinator({ SCAIMIND_LOG_LEVEL: 'silent' }, { databaseUrl })
  tenant = coordinator.tenant()
})
afterAll(async () => {
  await coordinator?.close()
  await database?.stop()
  rmSync(folder, { recursive: true, force: true })
})

describe('While the database is away', () => {
  it('callers are told to come back, the job trains on, and its end is written when the database is there again', async () => {
    keepOnFailure(coordinator)
    const go = join(tenant.files, 'go')
    const script = `import { existsSync } from 'node:fs'
console.log('{"step": 1, "loss": 1}')
while (!existsSync(${JSON.stringify(go)})) await new Promise((later) => setTimeout(later, 20))
console.log('{"step": 2, "loss": 1}')`
    const id = await tenant.submit(tenant.custom(script))
    await tenant.until(id, 'TRAINING')
    await database.stop()
    expect(await tenant.refused('GetJob', { job_id: id })).toMatchObject({ code: 'COORDINATOR_UNAVAILABLE', status: grpc.UNAVAILABLE })
    tenant.file('go', '')
    database = await startPrivateServer(folder)
    await tenant.until(id, 'COMPLETED')
    expect(await tenant.job(id)).toMatchObject({ status: 'COMPLETED', attempts: [{ number: 1, exit_code: 0 }] })
  })
})
