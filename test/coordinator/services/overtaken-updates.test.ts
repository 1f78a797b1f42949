import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { openDatabase } from '../../../src/coordinator/jobs/records/database.js'
import type { JobEvent__Output } from '../../../src/generated/proto/scaimind/v1/JobEvent.js'
import type { ListJobEventsResponse__Output } from '../../../src/generated/proto/scaimind/v1/ListJobEventsResponse.js'
import { type CoordinatorTenant, keepOnFailure, startTestCoordinator, type TestCoordinator } from '../../support/coordinator.js'

let coordinator: TestCoordinator

beforeAll(async () => {
  coordinator = await startTestCoordinator({ SCAIMIND_PROGRESS_RETENTION_HOURS: '24' })
})
afterAll(async () => {
  await coordinator?.close()
})

/** Events of a job up to one that fits. */
async function upTo(tenant: CoordinatorTenant, request: object, isLast: (event: JobEvent__Output) => boolean): Promise<JobEvent__Output[]> {
  const events: JobEvent__Output[] = []
  for await (const event of tenant.stream<JobEvent__Output>('StreamJobEvents', request)) {
    events.push(event)
    if (isLast(event)) break
  }
  return events
}
const labelOf = ({ type, job, to_status }: JobEvent__Output) => (type === 'UPDATED' ? job?.labels.label : to_status)

describe('What a stream of events tells of an old job', () => {
  it('is every change of its state and how it is; cursors of what is told no more still work', async () => {
    keepOnFailure(coordinator)
    const tenant = coordinator.tenant()
    const start_after = { seconds: 4_000_000_000 }
    const job_id = await tenant.submit(tenant.custom('', { scheduling_config: { start_after } }))
    const label = (text: string) => tenant.call('UpdateJob', { job_id, labels: { labels: { label: text } } })
    for (const text of ['long ago', 'yesterday', 'now']) await label(text)
    const all = await upTo(tenant, { job_id }, (event) => labelOf(event) === 'now')
    expect(all.map(labelOf)).toEqual(['PENDING', 'QUEUED', 'long ago', 'yesterday', 'now'])
    const history = await tenant.call<ListJobEventsResponse__Output>('ListJobEvents', { job_id })

    const database = openDatabase(coordinator.databaseUrl)
    const setAge = (event: JobEvent__Output | undefined, hours: number) =>
      database.jobEvent.update({
        where: { sequence: BigInt(event?.sequence ?? 0) },
        data: { time: new Date(Date.now() - hours * 3_600_000) },
      })
    await setAge(all[2], 25)
    await setAge(all[3], 23)
    await coordinator.restart()
    await expect.poll(() => database.jobEvent.count({ where: { jobId: job_id } }), { timeout: 30_000 }).toBe(4)
    await database.$disconnect()

    const kept = await upTo(tenant, { job_id }, (event) => labelOf(event) === 'now')
    expect(kept.map(labelOf)).toEqual(['PENDING', 'QUEUED', 'yesterday', 'now'])
    expect(kept[3]).toEqual(all[4])
    for (const request of [{ job_id }, {}]) {
      const after = await upTo(tenant, { ...request, after: all[2]?.cursor }, (event) => labelOf(event) === 'now')
      expect(after.map(labelOf)).toEqual(['yesterday', 'now'])
    }
    const until = await upTo(tenant, { from_start: true, until: all[2]?.cursor }, () => false)
    expect(until.map(labelOf)).toEqual(['PENDING', 'QUEUED'])
    expect(history.events).toHaveLength(2)
    expect(await tenant.call('ListJobEvents', { job_id })).toEqual(history)
  })
})
