import { hostname } from 'node:os'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { toTimestamp } from '../../../src/contract/proto.js'
import type { ClusterEvent__Output } from '../../../src/generated/proto/scaimind/v1/ClusterEvent.js'
import type { ListJobsResponse__Output } from '../../../src/generated/proto/scaimind/v1/ListJobsResponse.js'
import type { Queue__Output } from '../../../src/generated/proto/scaimind/v1/Queue.js'
import type { SubmitJobResponse__Output } from '../../../src/generated/proto/scaimind/v1/SubmitJobResponse.js'
import { type CoordinatorTenant, keepOnFailure, startTestCoordinator, type TestCoordinator } from '../../support/coordinator.js'

const node = hostname()
const forever = 'setInterval(() => {}, 1000)'

let coordinator: TestCoordinator
let tenant: CoordinatorTenant

beforeAll(async () => {
  coordinator = await startTestCoordinator({ SCAIMIND_CPU_SLOTS: '1', SCAIMIND_TENANT_JOBS_MAX: '5' })
  tenant = coordinator.tenant()
})
afterAll(async () => {
  await coordinator?.close()
})

/** The one slot is taken by a job that may run for so long. */
async function occupy(seconds = '600'): Promise<{ id: string; release(): Promise<void> }> {
  const holder = coordinator.tenant()
  const id = await holder.submit(holder.custom(forever, { scheduling_config: { max_runtime_seconds: seconds } }))
  await holder.until(id, 'TRAINING')
  return {
    id,
    async release() {
      await holder.call('CancelJob', { job_id: id })
      await holder.until(id, 'CANCELLED')
    },
  }
}

async function cancelAll(by: CoordinatorTenant): Promise<void> {
  const { jobs } = await by.call<ListJobsResponse__Output>('ListJobs', { statuses: ['QUEUED', 'TRAINING', 'PREEMPTED'] })
  for (const { job_id } of jobs) {
    await by.call('CancelJob', { job_id })
    await by.until(job_id, 'CANCELLED')
  }
}

describe('A job that waits', () => {
  it('says why as data: what it lacks, what is ahead, what it depends on, and until when', async () => {
    keepOnFailure(coordinator)
    const slot = await occupy()
    const startAfter = new Date('2100-01-01T00:00:00Z')
    const first = await tenant.submit(tenant.custom(forever))
    const second = await tenant.submit(tenant.custom(forever))
    const dependent = await tenant.submit(tenant.custom(forever, { scheduling_config: { depends_on: [first] } }))
    const later = await tenant.submit(tenant.custom(forever, { scheduling_config: { start_after: toTimestamp(startAfter) } }))
    const blockersOf = async (id: string) => (await tenant.job(id)).blockers
    expect(await blockersOf(first)).toEqual([{ kind: 'CPUS', of: '', need: 1, have: 0, until: expect.anything(), jobs: [] }])
    expect(await blockersOf(second)).toMatchObject([{ kind: 'JOBS_AHEAD', need: 1, jobs: [first] }])
    expect(await blockersOf(dependent)).toMatchObject([{ kind: 'DEPENDENCY', of: 'QUEUED', jobs: [first] }])
    expect(await blockersOf(later)).toMatchObject([{ kind: 'START_TIME', until: toTimestamp(startAfter) }])
    const { entries } = await tenant.call<Queue__Output>('GetQueue')
    expect(entries.map(({ waiting_for: text }) => text)).toEqual([
      'Waits for 1 CPU slot; 0 are free.',
      `Waits behind ${first}.`,
      `Waits for ${first}, which is QUEUED, to be COMPLETED.`,
      'Waits until 2100-01-01T00:00:00.000Z.',
    ])
    // Another tenant waits behind jobs that it must not know of.
    const stranger = coordinator.tenant()
    const theirs = await stranger.submit(stranger.custom(forever))
    expect((await stranger.job(theirs)).blockers).toMatchObject([{ kind: 'JOBS_AHEAD', need: 1, jobs: [] }])
    const seen = await stranger.call<Queue__Output>('GetQueue')
    expect(JSON.stringify(seen)).not.toContain(first)
    // It had nothing yet, so that only what came first of the other's is ahead of it.
    expect(seen.entries[1]).toMatchObject({ job_id: theirs, waiting_for: 'Waits behind another job.' })
    await cancelAll(stranger)
    await cancelAll(tenant)
    await slot.release()
  })

  it('is told when it would start, by the limits of what runs; nothing where that is not known', async () => {
    const slot = await occupy('600')
    const { job, estimated_wait_seconds } = await tenant.call<SubmitJobResponse__Output>('SubmitJob', {
      spec: tenant.custom(forever, { scheduling_config: { max_runtime_seconds: '300' } }),
    })
    expect(estimated_wait_seconds).toBeGreaterThan(500)
    expect(estimated_wait_seconds).toBeLessThanOrEqual(600)
    const second = await tenant.submit(tenant.custom(forever))
    const third = await tenant.submit(tenant.custom(forever))
    const inSeconds = async (id: string) => {
      const { estimated_start: start } = await tenant.job(id)
      return start && Math.round((Number(start.seconds) - Date.now() / 1000) / 100)
    }
    expect([await inSeconds(job?.job_id ?? ''), await inSeconds(second), await inSeconds(third)]).toEqual([6, 9, null])
    const { plan } = await tenant.call<SubmitJobResponse__Output>('SubmitJob', { spec: tenant.custom(forever), dry_run: true })
    expect(plan).toMatchObject({ starts_now: false, jobs_ahead: 3, blockers: [{ kind: 'JOBS_AHEAD' }], estimated_start: null })
    await cancelAll(tenant)
    await slot.release()
  })

  it('is not taken in where its tenant has as many jobs as it may have', async () => {
    const by = coordinator.tenant()
    const slot = await occupy()
    for (let n = 0; n < 5; n++) await by.submit(by.custom(forever))
    expect(await by.refused('SubmitJob', { spec: by.custom(forever) })).toMatchObject({
      code: 'RATE_LIMITED',
      fields: [{ path: 'limit', message: '5' }],
    })
    await cancelAll(by)
    await by.submit(by.custom(forever))
    await cancelAll(by)
    await slot.release()
  })

  it('does not take the last place of its tenant together with another that came at the same time', async () => {
    const by = coordinator.tenant()
    const slot = await occupy()
    const answers = await Promise.allSettled(Array.from({ length: 8 }, () => by.submit(by.custom(forever))))
    expect(answers.filter(({ status }) => status === 'fulfilled')).toHaveLength(5)
    await cancelAll(by)
    await slot.release()
  })
})

describe('Draining a node', () => {
  it('with eviction saves what runs and puts it back into the queue; it goes on when the node is enabled', async () => {
    keepOnFailure(coordinator)
    const id = await tenant.submit(tenant.custom(forever))
    await tenant.until(id, 'TRAINING')
    expect(await tenant.call('DrainNode', { node_id: node, reason: 'new fans', evict: true })).toMatchObject({
      status: 'DRAINING',
      reason: 'new fans',
    })
    const preempted = await tenant.until(id, 'PREEMPTED')
    expect(preempted.message).toMatch(/drained: new fans/)
    await tenant.until(id, ({ to_status }) => to_status === 'QUEUED', preempted.cursor)
    expect((await tenant.job(id)).blockers).toMatchObject([{ kind: 'DRAINING', of: node, need: 1, have: 0 }])
    await tenant.call('EnableNode', { node_id: node })
    await tenant.until(id, ({ to_status, attempt }) => to_status === 'TRAINING' && attempt === 2)
    const job = await tenant.job(id)
    expect(job.attempts.map(({ cause }) => cause)).toEqual(['FIRST', 'REQUEUE'])
    expect(job.failure).toBeNull()
    await cancelAll(tenant)
  })

  it('a job that may not be requeued stays PREEMPTED', async () => {
    const id = await tenant.submit(tenant.custom(forever, { scheduling_config: { requeue_on_preemption: false } }))
    await tenant.until(id, 'TRAINING')
    await tenant.call('DrainNode', { node_id: node, evict: true })
    await tenant.until(id, 'PREEMPTED')
    await tenant.call('EnableNode', { node_id: node })
    expect(await tenant.job(id)).toMatchObject({ status: 'PREEMPTED', available_actions: expect.arrayContaining(['RETRY', 'CANCEL']) })
    await cancelAll(tenant)
  })

  it('with a deadline evicts what still runs when it has passed, whether or not the coordinator was there', async () => {
    keepOnFailure(coordinator)
    const id = await tenant.submit(tenant.custom(forever))
    await tenant.until(id, 'TRAINING')
    await tenant.call('DrainNode', { node_id: node, deadline_seconds: 1 })
    expect((await tenant.job(id)).status).toBe('TRAINING')
    await coordinator.restart()
    await tenant.until(id, 'PREEMPTED')
    await tenant.call('EnableNode', { node_id: node })
    await cancelAll(tenant)
  })
})

describe('The live cluster', () => {
  it('tells every node and the queue as they are, then each as it changes', async () => {
    const events = tenant.streamOf<ClusterEvent__Output>('cluster', 'StreamClusterEvents', {})
    const next = async () => (await events.next()).value as ClusterEvent__Output
    expect(await next()).toMatchObject({ node: { node_id: node, status: 'ONLINE' } })
    expect(await next()).toMatchObject({ queue: { depth: 0 } })
    await tenant.call('DrainNode', { node_id: node, reason: 'look' })
    const drained = await next()
    expect(drained).toMatchObject({ node: { status: 'DRAINING', reason: 'look' } })
    const id = await tenant.submit(tenant.custom(forever))
    expect(await next()).toMatchObject({ queue: { depth: 1, entries: [{ job_id: id, blockers: [{ kind: 'DRAINING' }] }] } })
    await events.return(undefined)
    // After a cursor it begins with all of it, too: states lose nothing.
    const again = tenant.streamOf<ClusterEvent__Output>('cluster', 'StreamClusterEvents', { after: drained.cursor })
    expect((await again.next()).value).toMatchObject({ node: { status: 'DRAINING' } })
    await again.return(undefined)
    const broken = tenant.streamOf<ClusterEvent__Output>('cluster', 'StreamClusterEvents', { after: 'rubbish' })
    await expect(broken.next()).rejects.toMatchObject({ details: expect.stringMatching(/not a cursor/) })
    await tenant.call('EnableNode', { node_id: node })
    await cancelAll(tenant)
  })

  it('shows a tenant nothing of the jobs of others', async () => {
    const slot = await occupy()
    const id = await tenant.submit(tenant.custom(forever))
    const stranger = coordinator.tenant()
    const seen: ClusterEvent__Output[] = []
    for await (const event of stranger.streamOf<ClusterEvent__Output>('cluster', 'StreamClusterEvents', {})) {
      seen.push(event)
      if (event.queue) break
    }
    expect(JSON.stringify(seen)).not.toContain(id)
    expect(seen.at(-1)?.queue).toMatchObject({ depth: 1, entries: [{ job_id: '', name: '', blockers: [] }] })
    await cancelAll(tenant)
    await slot.release()
  })
})
