import { spawnSync } from 'node:child_process'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { openDatabase, transact, underLease } from '../../../src/coordinator/jobs/records/database.js'
import { thisHolder } from '../../../src/coordinator/lease/holder.js'
import { coordinatorLease } from '../../../src/coordinator/lease/lease.js'
import type { Dataset__Output } from '../../../src/generated/proto/scaimind/v1/Dataset.js'
import type { ListNodesResponse__Output } from '../../../src/generated/proto/scaimind/v1/ListNodesResponse.js'
import type { UploadDatasetRequest } from '../../../src/generated/proto/scaimind/v1/UploadDatasetRequest.js'
import { silent } from '../../support/api.js'
import { startTestCoordinator, toRefusal } from '../../support/coordinator.js'
import { freshDatabase } from '../../support/database.js'

let records: ReturnType<typeof openDatabase>
let first: ReturnType<typeof openDatabase>
let second: ReturnType<typeof openDatabase>
const leaseOf = (client: typeof first) => coordinatorLease({ client, log: silent })
const node = { nodeId: 'n', draining: true, updatedAt: new Date() }

beforeAll(async () => {
  const url = await freshDatabase('coordinator')
  records = openDatabase(url)
  first = openDatabase(url, { connections: 1 })
  second = openDatabase(url, { connections: 1 })
})
afterAll(async () => {
  await Promise.all([records, first, second].map((client) => client?.$disconnect()))
})

describe('The lease', () => {
  it('is held by one at a time, and goes to another when it is given back', async () => {
    const one = await leaseOf(first).take('one:1')
    const other = leaseOf(second)
    expect(await other.take('two:1')).toBeNull()
    expect(other.holderAddress()).toBe('one:1')
    await one?.release()
    const two = await other.take('two:1')
    expect(two?.epoch).toBe((one?.epoch ?? 0n) + 1n)
    expect(await leaseOf(first).take('one:1')).toBeNull()
    await two?.release()
  })

  it('of a process of this machine that is proven dead is not waited for', async () => {
    const one = await leaseOf(first).take('one:1')
    const { pid } = spawnSync('true')
    const holder = JSON.stringify({ ...JSON.parse(thisHolder()), pid })
    await records.coordinatorLease.update({ where: { id: 1 }, data: { holder } })
    const two = await leaseOf(second).take('two:1')
    expect(two?.epoch).toBe((one?.epoch ?? 0n) + 1n)
    await Promise.all([one?.release(), two?.release()])
  })

  it('runs out in its time where the clock of the database was put back', async () => {
    const one = await leaseOf(first).take('one:1')
    const expiresAt = new Date(Date.now() + 3600_000)
    await records.coordinatorLease.update({ where: { id: 1 }, data: { expiresAt } })
    expect(await leaseOf(second).take('two:1')).toBeNull()
    const row = await records.coordinatorLease.findUniqueOrThrow({ where: { id: 1 } })
    expect(row.expiresAt.getTime() - Date.now()).toBeLessThanOrEqual(6000)
    await one?.release()
  })

  it('is lost by whoever finds it taken', async () => {
    const one = await leaseOf(first).take('one:1')
    await records.coordinatorLease.update({ where: { id: 1 }, data: { epoch: { increment: 1 } } })
    await expect.poll(() => one?.lost.aborted, { timeout: 30_000 }).toBe(true)
    await one?.release()
    await runsOut()
  })

  it('is not taken between the look of a write at it and its commit', async () => {
    const one = await leaseOf(first).take('one:1')
    await runsOut()
    const order: string[] = []
    let taking: Promise<unknown> | undefined
    await transact(underLease(records, one?.epoch ?? 0n), async (tx) => {
      const look = leaseOf(second).take('two:1')
      taking = look.then((lease) => {
        order.push('taken')
        return lease?.release()
      })
      await Promise.race([look, new Promise((later) => setTimeout(later, 300))])
      await tx.node.create({ data: node })
      order.push('written')
    })
    await taking
    expect(order).toEqual(['written', 'taken'])
    await records.node.deleteMany()
    await one?.release()
  })

  it('that was taken lets no write of the former holder through', async () => {
    const one = await leaseOf(first).take('one:1')
    await runsOut()
    const two = await leaseOf(second).take('two:1')
    const late = transact(underLease(records, one?.epoch ?? 0n), (tx) => tx.node.create({ data: node }))
    await expect(late).rejects.toMatchObject({ code: 'COORDINATOR_UNAVAILABLE' })
    expect(await records.node.count()).toBe(0)
    await Promise.all([one?.release(), two?.release()])
  })

  it('is taken from one that stalls in the middle of a write, and what that had written is undone', async () => {
    const one = await leaseOf(first).take('one:1')
    await runsOut()
    const stalled = transact(underLease(records, one?.epoch ?? 0n), async (tx) => {
      await tx.node.create({ data: node })
      const two = await leaseOf(second).take('two:1')
      expect(two).not.toBeNull()
      await two?.release()
    })
    await expect(stalled).rejects.toThrow()
    expect(await records.node.count()).toBe(0)
    await one?.release()
  })

  /** As six seconds without a renewal would. */
  async function runsOut(): Promise<void> {
    await records.coordinatorLease.update({ where: { id: 1 }, data: { expiresAt: new Date(0) } })
  }
})

describe('A coordinator whose lease another has taken', () => {
  it('answers every write with COORDINATOR_UNAVAILABLE and writes nothing', async () => {
    const coordinator = await startTestCoordinator({ SCAIMIND_LOG_LEVEL: 'silent' })
    const client = openDatabase(coordinator.databaseUrl)
    const tenant = coordinator.tenant()
    const later = { start_after: { seconds: 4_102_444_800, nanos: 0 } }
    const job_id = await tenant.submit(tenant.custom('', { scheduling_config: later }))
    const { nodes } = await tenant.call<ListNodesResponse__Output>('ListNodes')
    const { dataset_id } = await upload('{"text": "one"}\n')
    // What follows a submission by itself is over then.
    await expect.poll(async () => (await tenant.job(job_id)).content_hash, { timeout: 30_000 }).not.toBe('')
    const before = await everything()

    await client.coordinatorLease.update({ where: { id: 1 }, data: { epoch: { increment: 1 }, expiresAt: new Date('2100-01-01') } })
    const { seconds } = later.start_after
    const refusals = await Promise.all([
      tenant.refused('SubmitJob', { spec: tenant.custom('') }),
      tenant.refused('SubmitJob', { spec: tenant.custom(''), idempotency_key: 'key' }),
      tenant.refused('UpdateJob', { job_id, labels: { values: { a: 'b' } } }),
      tenant.refused('CancelJob', { job_id }),
      tenant.refused('DrainNode', { node_id: nodes[0]?.node_id, evict: true }),
      tenant.refused('PrefetchDataset', { dataset_id, pin: true }),
      tenant.refused('PlanRetention', { scope: 'JOBS', finished_before: { seconds } }),
      upload('{"text": "two"}\n').then(() => null, toRefusal),
    ])
    expect(refusals.map((refusal) => refusal?.code)).toEqual(refusals.map(() => 'COORDINATOR_UNAVAILABLE'))
    expect(await everything()).toEqual(before)
    await client.$disconnect()
    await coordinator.close()

    /** All that is in the tables, but for the lease. */
    async function everything(): Promise<unknown> {
      const reads = [client.job, client.attempt, client.jobEvent, client.idempotencyRecord, client.node, client.dataset, client.datasetCopy]
      const rows = await Promise.all(reads.map((model) => (model.findMany as () => Promise<unknown>)()))
      return [rows, await client.retentionPlan.findMany(), await client.fileHash.findMany(), await client.eventCounter.findMany()]
    }

    function upload(content: string): Promise<Dataset__Output> {
      return new Promise((resolve, reject) => {
        const call = tenant.data.UploadDataset(tenant.metadata(), (error: unknown, dataset?: Dataset__Output) =>
          dataset ? resolve(dataset) : reject(error),
        )
        call.write({ description: { name: 'set.jsonl' } } satisfies UploadDatasetRequest)
        call.write({ chunk: Buffer.from(content) })
        call.end()
      })
    }
  })
})
