import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type ApiUnderTest, eventually, startApiUnderTest } from '../../support/api.js'
import { type LiveReader, linesOf, liveDoorNames, liveDoors, numbers, stepsOf, thinnedOf } from './readers.js'

let under: ApiUnderTest
let hasty: ApiUnderTest

beforeAll(async () => {
  ;[under, hasty] = await Promise.all([
    startApiUnderTest({ SCAIMIND_SLOW_READER_MS: '10' }),
    startApiUnderTest({ SCAIMIND_STUCK_READER_S: '1' }),
  ])
  under.stub.firstStepAt = Date.now()
})
afterAll(() => Promise.all([under?.close(), hasty?.close()]))

async function metric(of: ApiUnderTest, name: string): Promise<number> {
  const text = await (await fetch(`${of.api.url}/metrics`)).text()
  return Number(
    text
      .split('\n')
      .find((line) => line.startsWith(`${name} `) || line.startsWith(`${name}{`))
      ?.split(' ')
      .at(-1),
  )
}

// Selected so often that a thousand records are more than what connections take unasked.
const fields = `step attempt ${numbers(1, 40)
  .map((number) => `v${number}: valuesJson`)
  .join(' ')}`

/** A job with a reader who takes everything and one who stands still, and is behind by now; and the steps that were written. */
async function standingStill() {
  const { id, key } = await under.tenant()
  const { job_id: jobId } = under.stub.addJob(id)
  const wanted = { url: under.api.url, key, jobId, fields }
  const [still, moving] = [liveDoors['graphql-ws'](wanted), liveDoors['graphql-ws']({ ...wanted, fields: 'step' })]
  let written = 0
  const write = async (count: number) => {
    written += count
    under.stub.writeMetrics(jobId, count)
    await moving.until((told) => stepsOf(told).includes(written))
  }
  await write(1)
  await still.until((told) => told.length > 0)
  still.pause()
  while ((await metric(under, 'scaimind_live_waiting_bytes')) === 0) await write(500)
  await write(1)
  // Who is held up for a moment only is told everything.
  await eventually(async () => (await metric(under, 'scaimind_live_lag_seconds')) > 0.2)
  return { jobId, still, moving, write, written: () => written }
}

describe('A reader who takes nothing for a while', () => {
  it('gets the metrics that wait in one thinned message, with the newest, and is told how many were left out', async () => {
    const { jobId, still, moving, write, written } = await standingStill()
    await write(800)
    const waiting = await metric(under, 'scaimind_live_waiting_bytes')
    await write(800)
    expect(waiting).toBeLessThan(500_000)
    expect(await metric(under, 'scaimind_live_waiting_bytes')).toBe(waiting)
    still.resume()
    await still.until((told) => stepsOf(told).includes(written()))
    const thinned = still.told.filter((message) => message.thinned > 0)
    expect(thinned).toHaveLength(1)
    expect(thinned[0]?.records.at(-1)?.step).toBe(written())
    expect(thinned[0]?.records.length).toBeLessThanOrEqual(100)
    expect(stepsOf(still.told).length + thinnedOf(still.told)).toBe(written())
    under.stub.writeMetrics(jobId, 3)
    under.stub.end(jobId)
    await Promise.all([still.ended, moving.ended])
    expect(stepsOf(still.told).slice(-3)).toEqual(numbers(written() + 1, written() + 3))
    expect(stepsOf(moving.told)).toEqual(numbers(1, written() + 3))
    expect(thinnedOf(moving.told)).toBe(0)
  })

  it('is told a gap, from where to where, when more came than is held', async () => {
    const { jobId, still, moving, write, written } = await standingStill()
    for (let times = 0; times < 5; times++) await write(1000)
    still.resume()
    under.stub.end(jobId)
    await Promise.all([still.ended, moving.ended])
    const at = still.told.findIndex(({ type }) => type === 'StreamGap')
    const gap = still.told[at]
    const cursors = under.stub.metrics.get(jobId)?.records.map(({ cursor }) => cursor) ?? []
    const before = stepsOf(still.told.slice(0, at))
    expect(before).toEqual(numbers(1, before.length))
    expect(gap?.from).toBe(cursors[before.length - 1])
    const missed = cursors.indexOf(gap?.to ?? '') - cursors.indexOf(gap?.from ?? '')
    expect(missed).toBeGreaterThan(0)
    expect(stepsOf(still.told).length + thinnedOf(still.told) + missed).toBe(written())
    expect(stepsOf(still.told).at(-1)).toBe(written())
    expect(still.told.filter(({ type }) => type === 'StreamGap')).toHaveLength(1)
  })

  it('gets every record of a history that it reads slowly', async () => {
    const { id, key } = await under.tenant()
    const { job_id: jobId } = under.stub.addJob(id)
    const then = under.stub.firstStepAt
    under.stub.firstStepAt = 1_700_000_000_000
    under.stub.writeMetrics(jobId, 4000)
    under.stub.firstStepAt = then
    const still = liveDoors['graphql-ws']({ url: under.api.url, key, jobId, fields })
    await still.until((told) => told.length > 0)
    still.pause()
    while ((await metric(under, 'scaimind_live_waiting_bytes')) === 0) await new Promise(setImmediate)
    still.resume()
    await still.until((told) => stepsOf(told).length === 4000)
    expect(thinnedOf(still.told)).toBe(0)
    still.leave()
  })

  it('gets every line of a log, in order, though far more came than is held', async () => {
    const { id, key } = await under.tenant()
    const { job_id: jobId } = under.stub.addJob(id)
    const readers = liveDoorNames.map((door) => liveDoors[door]({ url: under.api.url, key, jobId, kind: 'logs' }))
    const moving = liveDoors['graphql-ws']({ url: under.api.url, key, jobId, kind: 'logs' })
    under.stub.writeLogs(jobId, ['line 0'])
    for (const reader of readers) {
      await reader.until((told) => told.length > 0)
      reader.pause()
    }
    // Lines take twice their characters in memory: 40 MB, where 16 are held.
    const lines = numbers(1, 5000).map((number) => `line ${number} ${'x'.repeat(4000)}`)
    let waiting = 0
    for (let at = 0; at < lines.length; at += 500) {
      under.stub.writeLogs(jobId, lines.slice(at, at + 500))
      await moving.until((told) => linesOf(told).length > at + 500)
      waiting = Math.max(waiting, await metric(under, 'scaimind_live_waiting_bytes'))
    }
    expect(waiting).toBeGreaterThan(0)
    expect(waiting).toBeLessThan(3 * 1_000_000)
    under.stub.end(jobId)
    await moving.ended
    for (const reader of readers) reader.resume()
    for (const reader of [...readers, moving]) {
      expect(await reader.ended).toEqual({ how: 'complete', failure: undefined })
      const told = linesOf(reader.told)
      expect(told.length).toBe(5001)
      expect(told.findIndex((text, index) => !text?.startsWith(`line ${index}${index ? ' ' : ''}`))).toBe(-1)
    }
  })
})

describe('A reader who takes nothing for too long', () => {
  it('is closed, with 1013 where there is a word for it, and the others notice nothing', async () => {
    const { id, key } = await hasty.tenant()
    const { job_id: jobId } = hasty.stub.addJob(id)
    const wanted = { url: hasty.api.url, key, jobId, kind: 'logs' as const }
    const stuck: LiveReader[] = liveDoorNames.map((door) => liveDoors[door](wanted))
    const moving = liveDoors['graphql-ws'](wanted)
    hasty.stub.writeLogs(jobId, ['line 0'])
    for (const reader of stuck) {
      await reader.until((told) => told.length > 0)
      reader.pause()
    }
    hasty.stub.writeLogs(
      jobId,
      numbers(1, 4000).map((number) => `line ${number} ${'x'.repeat(4000)}`),
    )
    await eventually(async () => (await metric(hasty, 'scaimind_live_readers_given_up_total')) === stuck.length)
    for (const reader of stuck) reader.resume()
    expect(await Promise.all(stuck.map(({ ended }) => ended))).toEqual([
      { how: 1013, failure: undefined },
      { how: 'cut', failure: undefined },
      { how: 'cut', failure: undefined },
    ])
    hasty.stub.end(jobId)
    expect(await moving.ended).toEqual({ how: 'complete', failure: undefined })
    expect(linesOf(moving.told).length).toBe(4001)
    expect(await metric(hasty, 'scaimind_live_readers')).toBe(0)
  })
})
