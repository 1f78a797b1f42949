import { describe, expect, it } from 'vitest'
import type { EngineQueue, EngineQueueEntry, EngineVerdict, Needs } from '../../../src/coordinator/engines/engine.js'
import { storeRequeue, storeStart } from '../../../src/coordinator/jobs/attempts/attempt-changes.js'
import { ownFailure } from '../../../src/coordinator/jobs/attempts/failure.js'
import { decideEnd } from '../../../src/coordinator/jobs/attempts/finish.js'
import { seenBy, sentenceOf } from '../../../src/coordinator/jobs/placement/blockers.js'
import type { Machine } from '../../../src/coordinator/jobs/placement/place.js'
import { queueProblems } from '../../../src/coordinator/jobs/placement/queue-limits.js'
import { waitBlockers } from '../../../src/coordinator/jobs/placement/scheduler-blockers.js'
import type { JobRecord } from '../../../src/coordinator/jobs/records/record.js'
import { completeSpec } from '../../../src/coordinator/jobs/records/spec.js'

const time = new Date('2030-01-01T01:00:00Z')
const attempt = { jobId: 'job_a', number: 1, handle: '{}', placement: '[]', startedAt: null, finishedAt: null, evicted: null }

/** A job that an engine's own scheduler has. */
function handedOver(status: string, { wanted = 'RUN', requeue = true, retries = 0, framework = 'HF_TRAINER' } = {}): JobRecord {
  const spec = completeSpec(null)
  spec.scheduling_config.requeue_on_preemption = requeue
  spec.training_config.framework.type = framework as 'CUSTOM'
  const job = { status, wanted, attempt: 1, failures: 0, maxRetries: retries, startedAt: null, spec: JSON.stringify(spec) }
  return { ...job, attempts: [attempt] } as unknown as JobRecord
}
const verdict = (cause: EngineVerdict['cause']): EngineVerdict => ({ cause, words: `${cause}, says Slurm.` })
const ending = (more: { exitCode?: number | null; signal?: string; lost?: boolean; verdict?: EngineVerdict | null }) => ({
  end: { time, exitCode: null, signal: '', lost: false, verdict: null, ...more },
  failure: ownFailure('UNKNOWN', 'It broke.'),
  undelivered: null,
})
const happenings = (steps: { happened?: string }[] | undefined) => steps?.map(({ happened }) => happened ?? 'updated')

describe('A job in the queue of its engine', () => {
  it('gets its place and starts in one step', () => {
    const placement = [{ nodeId: 'gpu01', gpuIndexes: [0, 1], cpus: 1, memoryBytes: 0 }]
    const change = storeStart(handedOver('QUEUED'), 1, { time, placement })
    expect(happenings(change?.steps)).toEqual(['placed', 'submitted', 'updated'])
    expect(change?.steps[0]?.message).toBe('Placed on gpu01.')
    const custom = storeStart(handedOver('QUEUED', { framework: 'CUSTOM' }), 1, { time, placement })
    expect(happenings(custom?.steps)).toEqual(['placed', 'submitted', 'trains'])
  })

  it('is cancelled once the engine has taken it out, whoever asked for it', () => {
    expect(happenings(decideEnd(handedOver('QUEUED', { wanted: 'CANCEL' }), ending({}), time))).toEqual(['cancelled'])
    expect(happenings(decideEnd(handedOver('QUEUED'), ending({ verdict: verdict('CANCELLED') }), time))).toEqual(['cancelled'])
  })

  it('fails where the engine refuses it, and waits on where it was only dropped', () => {
    expect(happenings(decideEnd(handedOver('QUEUED'), ending({ verdict: verdict('REFUSED') }), time))).toEqual(['failed'])
    const [step] = decideEnd(handedOver('QUEUED'), ending({ lost: true }), time)
    expect(step?.happened).toBeUndefined()
    expect(step?.set?.notBefore).toEqual(new Date(time.getTime() + 1000))
  })

  it('that ran so shortly that only its end was seen, has run', () => {
    expect(happenings(decideEnd(handedOver('QUEUED'), ending({ exitCode: 0 }), time))).toEqual(['placed', 'submitted', 'completed'])
  })
})

describe('What the engine says of an attempt that ended', () => {
  it.each([
    ['PREEMPTED', ['preempted', 'requeued']],
    ['CANCELLED', ['cancelled']],
    ['TIME_LIMIT', ['failed']],
    ['OUT_OF_MEMORY', ['failed']],
  ] as const)('%s', (cause, expected) => {
    const end = ending({ exitCode: cause === 'PREEMPTED' ? null : 137, verdict: verdict(cause), lost: cause === 'PREEMPTED' })
    expect(happenings(decideEnd(handedOver('TRAINING'), end, time))).toEqual(expected)
  })
  it('a job that must not be requeued stays PREEMPTED when its node fails', () => {
    const end = ending({ lost: true, verdict: verdict('NODE_FAILED') })
    expect(happenings(decideEnd(handedOver('TRAINING', { requeue: false }), end, time))).toEqual(['preempted'])
  })
  it('a time limit of the cluster is no fault that a retry could mend', () => {
    const end = ending({ exitCode: 85, verdict: verdict('TIME_LIMIT') })
    expect(happenings(decideEnd(handedOver('TRAINING', { retries: 3 }), end, time))).toEqual(['failed'])
  })
})

describe('An attempt that its engine runs again by itself', () => {
  const requeued = {
    end: ending({ lost: true, verdict: verdict('NODE_FAILED') }).end,
    next: { jobId: 'job_a', number: 2, directory: '/jobs/2' },
    handle: { slurm_job_id: 7 },
    token: 'new',
  }
  it('makes the job QUEUED again, with the new attempt', () => {
    const change = storeRequeue(handedOver('TRAINING'), 1, requeued)
    expect(happenings(change?.steps)).toEqual(['preempted', 'requeued'])
    expect(change?.steps[1]?.set?.attempt).toBe(2)
  })
  it('leaves a job that is to stop as it is, for the new attempt to be taken back', () => {
    const change = storeRequeue(handedOver('TRAINING', { wanted: 'PAUSE' }), 1, requeued)
    expect(change?.steps).toMatchObject([{ set: { attempt: 2, unreachable: false } }])
  })
})

describe('Why a job waits, in the words of its engine', () => {
  const needs: Needs = {
    gpuCount: 4,
    gpuType: 'a100',
    nodes: 1,
    gpuMemoryBytesMin: 0,
    cpusPerNode: 1,
    memoryBytesPerNode: 0,
    nodeSelector: {},
  }
  const sentence = (
    entry: Partial<EngineQueueEntry>,
    machines: Machine[] = [],
    ahead: ({ jobId: string; tenantId: string } | null)[] = [],
  ) =>
    sentenceOf(
      waitBlockers({ waitsFor: null, reason: '', estimatedStart: null, ...entry }, { needs, machines, ahead }).map((blocker) =>
        seenBy('acme', blocker),
      ),
    )
  it('jobs ahead, ours by name and others by number', () => {
    const ahead = [null, { jobId: 'job_b', tenantId: 'acme' }, { jobId: 'job_c', tenantId: 'other' }]
    expect(sentence({ waitsFor: 'PRIORITY', reason: 'Priority' }, [], ahead)).toBe('Waits behind job_b and 2 others.')
  })
  it('nodes that are not there, by the reason that the engine gives', () => {
    expect(sentence({ waitsFor: 'FOREVER', reason: 'PartitionDown' })).toBe('Waits for nodes: PartitionDown.')
  })
  it('GPUs, until the engine expects to start it', () => {
    const until = new Date('2030-01-01T02:00:00Z')
    const [blocker] = waitBlockers(
      { waitsFor: 'RESOURCES', reason: 'Resources', estimatedStart: until },
      { needs, machines: [], ahead: [] },
    )
    expect(blocker).toMatchObject({ until })
  })
})

describe('The queue that a submission names', () => {
  const queues: EngineQueue[] = [
    { name: 'batch', isDefault: true, open: true, runSecondsMax: 3600, nodeIds: [] },
    { name: 'long', isDefault: false, open: true, runSecondsMax: null, nodeIds: [] },
  ]
  const problems = (queue: string, limit = '0') => {
    const spec = completeSpec(null)
    spec.scheduling_config.queue = queue
    spec.scheduling_config.max_runtime_seconds = limit
    return queueProblems(spec, queues)
  }
  it('must be one of the engine', () => {
    expect(problems('default')).toEqual([])
    expect(problems('long', '90000')).toEqual([])
    expect(problems('short')).toEqual([{ path: 'scheduling_config.queue', message: 'The cluster has no queue short; it has batch, long.' }])
  })
  it('bounds how long a job may run', () => {
    expect(problems('default', '7200')).toEqual([
      { path: 'scheduling_config.max_runtime_seconds', message: 'Jobs in queue batch run at most 3600 s, not 7200.' },
    ])
  })
})
