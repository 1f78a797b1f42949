import { describe, expect, it } from 'vitest'
import { applyLines } from '../../../src/coordinator/jobs/attempts/follow-trainer.js'
import { checkpointId } from '../../../src/coordinator/jobs/records/checkpoints.js'
import type { JobRecord } from '../../../src/coordinator/jobs/records/record.js'
import type { TrainerEvent } from '../../../src/coordinator/journal/trainer-events.js'

const time = new Date('2030-01-01T00:00:00Z')
const job = (status: string, eventsApplied: number, wanted = 'RUN') =>
  ({ jobId: 'job_a', status, wanted, attempt: 1, attempts: [{ number: 1, eventsApplied }] }) as unknown as JobRecord
const phase = (line: number, name: string) => ({ line, event: { type: 'phase', time, phase: name } as TrainerEvent })
const apply = (to: JobRecord, lines: ReturnType<typeof phase>[], number = 1) =>
  applyLines(to, { number, directory: '/jobs/a/1', lines })?.steps.map(({ happened }) => happened)

describe('What a trainer tells', () => {
  it('counts once: lines that are applied already change nothing', () => {
    expect(apply(job('PREPARING', 0), [phase(3, 'TRAINING')])).toEqual(['trains'])
    expect(apply(job('PREPARING', 4), [phase(3, 'TRAINING')])).toBeUndefined()
    expect(apply(job('CHECKPOINTING', 4), [phase(3, 'TRAINING'), phase(4, 'TRAINING')])).toEqual(['trains'])
  })

  it('is followed through several phases at once', () => {
    expect(
      apply(job('PREPARING', 0), [phase(0, 'TRAINING'), phase(1, 'CHECKPOINTING'), phase(2, 'TRAINING'), phase(3, 'EXPORTING')]),
    ).toEqual(['trains', 'checkpoints', 'trains', 'exports'])
  })

  it('is ignored where the lifecycle does not allow it, or where an older attempt says it', () => {
    expect(apply(job('TRAINING', 0), [phase(0, 'PREPARING')])).toEqual([])
    const second = { ...job('TRAINING', 0), attempt: 2 } as JobRecord
    expect(apply(second, [phase(0, 'EXPORTING')])).toEqual([])
  })

  it('cannot name files outside of its own folder', () => {
    const artefact = { type: 'artefact', time, kind: 'adapter', path: '../../../etc', files: [], bytes: 0 } as TrainerEvent
    expect(apply(job('EXPORTING', 0), [{ line: 0, event: artefact }])).toEqual([])
    expect(apply(job('EXPORTING', 0), [{ line: 0, event: { ...artefact, path: 'output' } as TrainerEvent }])).toHaveLength(1)
  })

  it('gives a checkpoint the same id whenever it is read', () => {
    expect(checkpointId('job_a', 1, 'step-1')).toBe(checkpointId('job_a', 1, 'step-1'))
    expect(checkpointId('job_a', 1, 'step-1')).not.toBe(checkpointId('job_a', 2, 'step-1'))
    expect(checkpointId('job_a', 1, 'step-1')).toMatch(/^ckpt_[0-9a-f]{26}$/)
  })
})
