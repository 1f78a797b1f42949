import { describe, expect, it, onTestFinished, vi } from 'vitest'
import { judgeNodes } from '../../../src/coordinator/jobs/attempts/blame.js'
import { ownFailure } from '../../../src/coordinator/jobs/attempts/failure.js'
import { awayNow, newReach, reachWatch, storeReach } from '../../../src/coordinator/jobs/attempts/reach.js'
import type { JobRecord } from '../../../src/coordinator/jobs/records/record.js'
import { completeSpec } from '../../../src/coordinator/jobs/records/spec.js'

const time = new Date('2030-01-01T01:00:00Z')

function job({ nodes = ['n1'], wanted = 'RUN', evicted = null as string | null, ...more } = {}): JobRecord {
  const placement = JSON.stringify(nodes.map((node_id) => ({ node_id, gpu_indexes: [0], cpus: 0, memory_bytes: 0 })))
  const attempts = [{ number: 1, placement, evicted, startedAt: time, finishedAt: null }]
  return { status: 'TRAINING', wanted, attempt: 1, attempts, spec: JSON.stringify(completeSpec(null)), ...more } as unknown as JobRecord
}
const clean = { time, exitCode: 1 as number | null, signal: '', lost: false, verdict: null }
const lost = { ...clean, exitCode: null, lost: true }
const nodeFailure = { ...ownFailure('NODE', 'Xid 79'), node: 'n2' }
const judge = (of: JobRecord, end: object, failure = nodeFailure) => judgeNodes(of, 1, { end: { ...clean, ...end }, failure })

describe('The end of an attempt', () => {
  it('blames its node where that or the launcher died, or the failure is of class NODE', () => {
    expect(judge(job(), lost)).toMatchObject({ kind: 'blamed', nodeId: 'n1', time })
    expect(judge(job(), {})).toMatchObject({ kind: 'blamed', nodeId: 'n1', message: 'Xid 79' })
    const verdict = { cause: 'NODE_FAILED', words: 'NODE_FAIL' }
    expect(judge(job(), { verdict }, ownFailure('UNKNOWN', ''))).toMatchObject({ kind: 'blamed', message: 'NODE_FAIL' })
  })
  it('of several nodes blames the one that failed, and none where nobody knows which', () => {
    expect(judge(job({ nodes: ['n1', 'n2'] }), {})).toMatchObject({ nodeId: 'n2' })
    expect(judge(job({ nodes: ['n1', 'n2'] }), lost)).toBeNull()
  })
  it('clears all its nodes where it did its work', () => {
    expect(judge(job({ nodes: ['n1', 'n2'] }), { exitCode: 0 })).toEqual({ kind: 'works', nodeIds: ['n1', 'n2'] })
  })
  it('says nothing where it was wanted, gave way, or failed by itself', () => {
    for (const of of [job({ wanted: 'CANCEL' }), job({ wanted: 'PAUSE' }), job({ evicted: 'drained' })]) expect(judge(of, lost)).toBeNull()
    expect(judge(job(), {}, ownFailure('CODE', 'It broke.'))).toBeNull()
    expect(judge(job(), { ...lost, verdict: { cause: 'PREEMPTED', words: 'PREEMPTED' } })).toBeNull()
  })
})

describe('What cannot be reached', () => {
  const now = new Date(time.getTime() + 60_000)
  const engine = { since: time, reason: 'The controller does not answer.' }
  const sign = { mark: '', at: time }

  it('is told by the engine, or by a trainer’s silence while it trains', () => {
    const silence = { silentMs: 60_000, now }
    expect(awayNow({ status: 'TRAINING' }, { away: engine, sign }, silence)).toBe(engine)
    expect(awayNow({ status: 'TRAINING' }, { away: null, sign }, silence)).toMatchObject({ since: time })
    expect(awayNow({ status: 'PREPARING' }, { away: null, sign }, silence)).toBeNull()
    expect(awayNow({ status: 'TRAINING' }, { away: null, sign }, { ...silence, silentMs: 60_001 })).toBeNull()
    expect(awayNow({ status: 'TRAINING' }, { away: null, sign }, { ...silence, silentMs: 0 })).toBeNull()
  })

  it('keeps the first time of several reasons, and changes nothing where it is told again', () => {
    const away = job({ unreachable: true, unreachableSince: time, unreachableReason: engine.reason } as object)
    expect(storeReach(away, 1, engine)).toBeNull()
    expect(storeReach(away, 1, { since: now, reason: 'Silent.' })?.steps).toEqual([
      { set: { unreachable: true, unreachableSince: time, unreachableReason: 'Silent.' } },
    ])
    expect(storeReach(away, 1, null)?.steps).toEqual([{ set: { unreachable: false, unreachableSince: null, unreachableReason: '' } }])
    expect(storeReach(away, 2, null)).toBeNull()
  })

  it('stays so when another coordinator takes it up, until the engine says otherwise or has had time to', async () => {
    vi.useFakeTimers({ now })
    onTestFinished(() => void vi.useRealTimers())
    const of = job({ unreachable: true, unreachableSince: time, unreachableReason: engine.reason } as object)
    const kept: unknown[] = []
    const attempt = { job: of, name: { jobId: '', number: 1, directory: '/nowhere' }, end: null, reach: newReach(of, now) }
    const keep = (_: unknown, decide: (job: JobRecord) => unknown) => void kept.push(decide(of))
    const watch = reachWatch({ attempts: () => [attempt], silentMs: 0, keep, clock: () => new Date() })
    await vi.advanceTimersByTimeAsync(59_000)
    expect(kept).toEqual([])
    watch.hear(attempt, null)
    watch.close()
    expect(kept).toMatchObject([{ steps: [{ set: { unreachable: false } }] }])
  })
})
