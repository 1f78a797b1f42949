import { pino } from 'pino'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { newJobId } from '../../../src/contract/ids.js'
import { jobChanges } from '../../../src/coordinator/jobs/records/changes.js'
import { openDatabase, underLease } from '../../../src/coordinator/jobs/records/database.js'
import { completeSpec } from '../../../src/coordinator/jobs/records/spec.js'
import { type JobStore, jobStore, type Step } from '../../../src/coordinator/jobs/records/store.js'
import { newRow } from '../../../src/coordinator/jobs/requests/new-row.js'
import { overtakenUpdates } from '../../../src/coordinator/jobs/retention/overtaken-updates.js'
import { freshDatabase } from '../../support/database.js'

const hour = 3600 * 1000
const never = new AbortController().signal
let database: ReturnType<typeof openDatabase>
let store: JobStore
let now: number
let retention: ReturnType<typeof overtakenUpdates>

beforeEach(async () => {
  database = openDatabase(await freshDatabase('coordinator'))
  now = Date.parse('2030-01-01T00:00:00Z')
  const clock = () => new Date(now)
  const records = underLease(database, 0n)
  store = jobStore({ database: records, changes: jobChanges(), clock })
  retention = overtakenUpdates({ database: records, keptMs: hour, log: pino({ level: 'silent' }), clock })
})
afterEach(async () => {
  await database?.$disconnect()
})

async function submitted(): Promise<string> {
  const row = newRow(completeSpec(null), { jobId: newJobId(now), tenantId: 'acme', userId: 'ada', now: new Date(now) })
  await store.create({ ...row, trainingType: 'SFT' }, { steps: [{ happened: 'admitted' }] })
  return row.jobId
}
const change = (jobId: string, ...steps: Step[]) => store.change(jobId, () => ({ steps }))
const progress = (jobId: string, step: number) => change(jobId, { set: { progress: JSON.stringify({ step: String(step) }) } })
/** What is left of a job's events: its progress where it is an update, else where it stood since. */
async function told(jobId: string): Promise<(number | string)[]> {
  const events = await database.jobEvent.findMany({ where: { jobId }, orderBy: { sequence: 'asc' } })
  return events.map(({ type, toStatus, job }) =>
    type === 'UPDATED' && job ? Number(JSON.parse(job).progress.step) : `${type} ${toStatus}`,
  )
}
const start = ['SUBMITTED PENDING', 'STATUS_CHANGED QUEUED']

describe('Updates that a later event has overtaken', () => {
  it('are deleted when they are older than what is kept; changes of state and the newest event are not', async () => {
    const job = await submitted()
    await progress(job, 1)
    await progress(job, 2)
    await change(job, { happened: 'placed' })
    await progress(job, 3)
    now += hour / 2
    await progress(job, 4)
    await progress(job, 5)
    now += hour / 2
    expect(await retention.deleteOld(never)).toBe(0)
    now += 1
    expect(await retention.deleteOld(never)).toBe(3)
    expect(await told(job)).toEqual([...start, 'STATUS_CHANGED SCHEDULING', 4, 5])
    now += 1000 * hour
    expect(await retention.deleteOld(never)).toBe(1)
    expect(await told(job)).toEqual([...start, 'STATUS_CHANGED SCHEDULING', 5])
  })

  it('are those of the same job: the newest of another one stays until it is overtaken itself', async () => {
    const [idle, busy] = [await submitted(), await submitted()]
    await progress(idle, 1)
    await progress(busy, 1)
    await progress(busy, 2)
    now += 2 * hour
    await retention.deleteOld(never)
    expect([await told(idle), await told(busy)]).toEqual([
      [...start, 1],
      [...start, 2],
    ])
    await change(idle, { happened: 'cancelled' })
    await retention.deleteOld(never)
    expect(await told(idle)).toEqual([...start, 'STATUS_CHANGED CANCELLED'])
  })

  it('leave a deleted job with the event that tells so', async () => {
    const job = await submitted()
    await progress(job, 1)
    await store.remove(job, async () => '')
    now += 1000 * hour
    expect(await retention.deleteOld(never)).toBe(0)
    expect(await told(job)).toEqual(['DELETED QUEUED'])
  })

  it('go however many there are, also behind thousands that stay', async () => {
    const job = await submitted()
    const [event] = await database.jobEvent.findMany({ where: { jobId: job }, take: 1 })
    if (!event) throw new Error('A submission is an event.')
    // The first 2,500 are the newest of a job each, the next 2,501 of one job.
    const data = Array.from({ length: 5001 }, (_, index) => ({
      ...event,
      sequence: BigInt(1000 + index),
      jobId: index < 2500 ? `${job}-${index}` : job,
      type: 'UPDATED',
    }))
    await database.jobEvent.createMany({ data })
    now += 2 * hour
    expect(await retention.deleteOld(never)).toBe(2500)
    const left = await database.jobEvent.findMany({ where: { type: 'UPDATED' }, orderBy: { sequence: 'asc' }, select: { sequence: true } })
    expect(left.map(({ sequence }) => Number(sequence))).toEqual([...data.slice(0, 2500).keys()].map((index) => 1000 + index).concat(6000))
  })

  it('are deleted while others change jobs: neither waits for the other', async () => {
    const job = await submitted()
    await progress(job, 1)
    await progress(job, 2)
    now += 2 * hour
    await database.$transaction(
      async (tx) => {
        await tx.$queryRaw`SELECT job_id FROM job WHERE job_id = ${job} FOR UPDATE`
        await tx.$queryRaw`SELECT value FROM event_counter WHERE id = 1 FOR UPDATE`
        expect(await retention.deleteOld(never)).toBe(1)
      },
      { timeout: 30_000 },
    )
    expect(await told(job)).toEqual([...start, 2])
  })

  it('are worked off in the background until it is closed, which ends it at once', async () => {
    const job = await submitted()
    await progress(job, 1)
    await progress(job, 2)
    now += 2 * hour
    const running = retention.start()
    await expect.poll(() => told(job), { timeout: 30_000 }).toEqual([...start, 2])
    await running.close()
    await running.close()
    await progress(job, 3)
    const closed = new AbortController()
    closed.abort()
    expect(await retention.deleteOld(closed.signal)).toBe(0)
  })
})
