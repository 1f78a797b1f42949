import { describe, expect, it } from 'vitest'
import type { Needs } from '../../../src/coordinator/engines/engine.js'
import { earlyBlockers, expected, roomBlockers, seenBy, sentenceOf } from '../../../src/coordinator/jobs/placement/blockers.js'
import type { Machine } from '../../../src/coordinator/jobs/placement/place.js'
import { needs, now } from '../../support/placement.js'

const machine = (
  nodeId: string,
  { free = 0, gpus = 2, ...more }: Partial<Omit<Machine, 'gpus'>> & { free?: number; gpus?: number } = {},
): Machine => ({
  nodeId,
  hostname: nodeId,
  features: [],
  takesWork: true,
  draining: false,
  gpus: Array.from({ length: gpus }, (_, index) => ({ index, type: 'a100', memoryBytes: 80e9, free: index < free })),
  cpus: 4,
  cpusFree: 4,
  memoryBytes: 64e9,
  memoryBytesFree: 64e9,
  holders: [],
  ...more,
})
const blockers = (wanted: Partial<Needs>, machines: Machine[]) => roomBlockers(needs(wanted), machines)

describe('What a job waits for', () => {
  it('is what is lacking, with what it needs and what there is', () => {
    expect(blockers({ gpuCount: 2, gpuType: 'a100' }, [machine('a', { free: 1 })])).toMatchObject([
      { kind: 'GPUS', of: 'a100', need: 2, have: 1 },
    ])
    expect(blockers({ cpusPerNode: 3 }, [machine('a', { cpusFree: 1 })])).toMatchObject([{ kind: 'CPUS', need: 3, have: 1 }])
    expect(blockers({ memoryBytesPerNode: 32e9 }, [machine('a', { memoryBytesFree: 16e9 })])).toMatchObject([
      { kind: 'MEMORY', need: 32e9, have: 16e9 },
    ])
  })

  it('is nodes where there is enough, but not together', () => {
    expect(blockers({ gpuCount: 2 }, [machine('a', { free: 1 }), machine('b', { free: 1 })])).toMatchObject([
      { kind: 'NODES', need: 1, have: 0 },
    ])
  })

  it('is a node that drains, where it would do', () => {
    const found = blockers({ gpuCount: 1 }, [machine('a', { free: 0 }), machine('b', { free: 1, takesWork: false, draining: true })])
    expect(found).toMatchObject([{ kind: 'GPUS' }, { kind: 'DRAINING', of: 'b' }])
  })

  it('is the one node that drains, where no other could ever do', () => {
    const found = blockers({ gpuCount: 1 }, [machine('b', { free: 1, takesWork: false, draining: true })])
    expect(found).toMatchObject([{ kind: 'DRAINING', of: 'b', need: 1, have: 0 }])
    expect(sentenceOf(found.map((blocker) => seenBy('acme', blocker)))).toBe('Waits for node b, which is draining.')
  })

  it('is jobs that hold what it lacks, of which a tenant sees its own', () => {
    const holder = (jobId: string, tenantId: string, more = {}) => ({ jobId, tenantId, gpuIndexes: [0], cpus: 0, memoryBytes: 0, ...more })
    const holders = [holder('mine', 'acme'), holder('theirs', 'rival'), holder('on_cpus', 'acme', { gpuIndexes: [], cpus: 1 })]
    const [found] = blockers({ gpuCount: 4 }, [machine('a', { gpus: 4, holders }), machine('b', { gpus: 4, holders })])
    if (!found) throw new Error('nothing is lacking')
    expect(seenBy('acme', found).jobs).toEqual(['mine'])
    expect(seenBy('*', found).jobs).toEqual(['mine', 'theirs'])
  })

  it('is expected to pass when it starts itself, or the one ahead of it', () => {
    const at = new Date('2030-01-01T01:00:00Z')
    const [lacking] = blockers({ gpuCount: 1 }, [machine('a')])
    const ahead = { kind: 'JOBS_AHEAD' as const, of: '', need: 1, have: 0, until: null, jobs: [{ jobId: 'first', tenantId: 'acme' }] }
    const starts = new Map([['first', at]])
    expect(lacking && expected(lacking, 'first', starts).until).toEqual(at)
    expect(expected(ahead, 'second', starts).until).toEqual(at)
    expect(expected(ahead, 'second', new Map()).until).toBeNull()
  })

  it('is its time, and jobs that must be done first', () => {
    const notBefore = new Date('2030-01-02T00:00:00Z')
    const found = earlyBlockers({ tenantId: 'acme', notBefore, dependencies: [{ jobId: 'job_a', status: 'TRAINING' }] }, now)
    expect(found).toMatchObject([
      { kind: 'DEPENDENCY', of: 'TRAINING', need: 1, jobs: [{ jobId: 'job_a', tenantId: 'acme' }] },
      { kind: 'START_TIME', until: notBefore },
    ])
    expect(earlyBlockers({ tenantId: 'acme', notBefore: new Date(0), dependencies: [] }, now)).toEqual([])
  })
})
