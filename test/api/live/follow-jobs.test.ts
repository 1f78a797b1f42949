import { afterAll, beforeAll, expect, it } from 'vitest'
import { openDatabase } from '../../../src/api/cache/database.js'
import { type FollowedJobs, followedJobs } from '../../../src/api/cache/followed.js'
import { jobChanges } from '../../../src/api/cache/job-changes.js'
import { jobCache } from '../../../src/api/cache/jobs.js'
import { type CoordinatorClient, connectCoordinator } from '../../../src/api/coordinator-client/index.js'
import { streamCounts } from '../../../src/api/live/counts.js'
import { followJobs, type JobFollower } from '../../../src/api/live/follow-jobs.js'
import { jobEvents } from '../../../src/api/live/job-events.js'
import { parseCursor } from '../../../src/contract/cursor.js'
import { openDatabase as openRecords, underLease } from '../../../src/coordinator/jobs/records/database.js'
import { overtakenUpdates } from '../../../src/coordinator/jobs/retention/overtaken-updates.js'
import type { RetentionPlan__Output } from '../../../src/generated/proto/scaimind/v1/RetentionPlan.js'
import { eventually, silent } from '../../support/api.js'
import { startTestCoordinator, type TestCoordinator } from '../../support/coordinator.js'
import { freshDatabase } from '../../support/database.js'

let coordinator: TestCoordinator
let records: ReturnType<typeof openRecords>
let client: CoordinatorClient
let database: ReturnType<typeof openDatabase>
let followed: FollowedJobs

beforeAll(async () => {
  coordinator = await startTestCoordinator()
  records = openRecords(coordinator.databaseUrl)
  database = openDatabase(await freshDatabase('api'))
  followed = followedJobs(database, (_jobId, error) => {
    throw error
  })
  client = connectCoordinator({
    addresses: [{ host: '127.0.0.1', port: coordinator.port }],
    secret: coordinator.secret,
    timeoutMs: 5000,
    log: silent,
  })
})
afterAll(async () => {
  client?.close()
  await database?.$disconnect()
  await records?.$disconnect()
  await coordinator?.close()
})

/** Follows until the cache is where the coordinator's events are; answers the methods that were called for it. */
async function followUntilThere(): Promise<string[]> {
  const methods: string[] = []
  const call: CoordinatorClient['call'] = (method, ...rest) => {
    methods.push(method)
    return client.call(method, ...rest)
  }
  const events = jobEvents({ openStream: client.openStream, counts: streamCounts(), isNewest: async () => true })
  const follower = followJobs({ coordinator: { ...client, call }, followed, events, changes: jobChanges(), log: silent })
  const newest = Number((await records.eventCounter.findUniqueOrThrow({ where: { id: 1 } })).value)
  await eventually(place, (sequence) => sequence === newest)
  await follower.stop()
  return methods
}
async function place(): Promise<number> {
  const cursor = await followed.cursor()
  return cursor ? parseCursor(cursor, 'events', '*').sequence : -1
}

it('a follower that was away while updates were deleted has every job as it is in the end, without loading all anew', async () => {
  const tenant = coordinator.tenant()
  const submit = () => tenant.submit(tenant.custom('', { scheduling_config: { start_after: { seconds: 4_000_000_000 } } }))
  const label = (job_id: string, text: string) => tenant.call('UpdateJob', { job_id, labels: { labels: { label: text } } })
  const [idle, cancelled, deleted, busy] = [await submit(), await submit(), await submit(), await submit()]
  for (const job of [idle, cancelled, deleted, busy]) await label(job, 'before')
  expect(await followUntilThere()).toContain('ListJobs')
  const leftAt = await place()

  const added = await submit()
  for (const job of [added, cancelled, deleted, busy]) for (const text of ['a', 'b', 'c']) await label(job, text)
  for (const job of [cancelled, deleted]) await tenant.call('CancelJob', { job_id: job })
  await tenant.call('ArchiveJob', { job_id: deleted, archived: true })
  const finished_before = { seconds: Math.floor(Date.now() / 1000) + 86_400 }
  const { plan_id } = await tenant.call<RetentionPlan__Output>('PlanRetention', { scope: 'JOBS', finished_before })
  await tenant.call('ApplyRetention', { plan_id })
  const days = 72 * 3_600_000
  const { epoch } = await records.coordinatorLease.findUniqueOrThrow({ where: { id: 1 } })
  const retention = overtakenUpdates({
    database: underLease(records, epoch),
    keptMs: 3_600_000,
    log: silent,
    clock: () => new Date(Date.now() + days),
  })
  // Of the updates that are overtaken those before the break go too; the deleted job took its own along.
  expect(await retention.deleteOld(new AbortController().signal)).toBe(1 + 3 + 2 + 1 + 2)
  expect(await records.jobEvent.findUnique({ where: { sequence: BigInt(leftAt) } })).toBeNull()

  expect(await followUntilThere()).toEqual([])
  const cache = jobCache(database, jobChanges())
  for (const id of [idle, cancelled, busy, added]) {
    const { revision, status, labels } = await tenant.job(id)
    expect((await cache.get(tenant.id, id))?.job).toMatchObject({ revision, status, labels })
  }
  expect(await cache.get(tenant.id, deleted)).toBeNull()
  expect(await database.job.count()).toBe(4)
})

it('a follower that is stopped while it loads all jobs does not drop those that it has not seen yet', async () => {
  const pages: string[] = []
  const dropped: number[] = []
  let follower: JobFollower | undefined
  let stopped: Promise<void> | undefined
  const call = async (_method: string, { page_token }: { page_token: string }) => {
    pages.push(page_token)
    return { jobs: [{ job_id: `job ${page_token}` }], next_page_token: 'more', snapshot_cursor: '' }
  }
  const parts = {
    coordinator: { call, isReady: () => true },
    followed: {
      cursor: async () => '',
      async load() {
        stopped ??= follower?.stop()
      },
      async loaded(seen: Set<string>) {
        dropped.push(seen.size)
      },
    },
    events: jobEvents({ openStream: client.openStream, counts: streamCounts(), isNewest: async () => true }),
    changes: jobChanges(),
    log: silent,
  }
  follower = followJobs(parts as unknown as Parameters<typeof followJobs>[0])
  await eventually(() => pages.length > 0)
  await follower.stop()
  await stopped
  expect(pages.length).toBeLessThan(5)
  expect(dropped).toEqual([])
})
