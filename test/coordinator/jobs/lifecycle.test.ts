import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { isTerminal, type JobStatus, jobActions, jobStatuses, wantedStates } from '../../../src/contract/statuses.js'
import {
  actions,
  availableActions,
  canHappen,
  isRepeat,
  phaseTransition,
  requireAction,
  statusAfter,
  type Transition,
  transitions,
} from '../../../src/coordinator/jobs/records/lifecycle.js'

const names = Object.keys(transitions) as Transition[]
const anyStatus = fc.constantFrom(...jobStatuses)
const anyWanted = fc.constantFrom(...wantedStates)

describe('The lifecycle', () => {
  it('leads from submission to completion the documented way', () => {
    const way: Transition[] = ['admitted', 'placed', 'submitted', 'trains', 'checkpoints', 'trains', 'evaluates', 'exports', 'completed']
    const statuses: JobStatus[] = ['PENDING']
    for (const name of way) statuses.push(statusAfter(name, statuses.at(-1) ?? 'PENDING'))
    expect(statuses).toEqual([
      'PENDING',
      'QUEUED',
      'SCHEDULING',
      'PREPARING',
      'TRAINING',
      'CHECKPOINTING',
      'TRAINING',
      'EVALUATING',
      'EXPORTING',
      'COMPLETED',
    ])
  })

  it('leaves a terminal state by nothing but a retry, and COMPLETED by nothing at all', () => {
    fc.assert(
      fc.property(fc.array(fc.constantFrom(...names), { maxLength: 200 }), (events) => {
        let status: JobStatus = 'PENDING'
        for (const event of events) {
          if (!canHappen(event, status)) continue
          if (isTerminal(status)) expect([event, status]).not.toContain('COMPLETED')
          if (isTerminal(status)) expect(event).toBe('retried')
          status = statusAfter(event, status)
        }
      }),
    )
  })

  it('can fail and be cancelled from every state that is not terminal', () => {
    for (const status of jobStatuses) {
      expect(canHappen('failed', status)).toBe(!isTerminal(status))
      expect(canHappen('cancelled', status)).toBe(!isTerminal(status))
    }
  })

  it('reaches every state, and from every state that is not terminal a terminal one', () => {
    const reach = (from: JobStatus) => {
      const seen = new Set<JobStatus>([from])
      for (const status of seen) for (const name of names) if (canHappen(name, status)) seen.add(statusAfter(name, status))
      return seen
    }
    expect([...reach('PENDING')].sort()).toEqual([...jobStatuses].sort())
    for (const status of jobStatuses) expect([...reach(status)].some(isTerminal)).toBe(true)
  })

  it('throws where something happens that cannot', () => {
    expect(() => statusAfter('completed', 'QUEUED')).toThrow(/QUEUED/)
  })

  it('never lets a trainer announce itself out of order or back', () => {
    expect(phaseTransition('TRAINING', 'PREPARING')).toBe('trains')
    expect(phaseTransition('PREPARING', 'TRAINING')).toBeNull()
    expect(phaseTransition('TRAINING', 'EXPORTING')).toBeNull()
    for (const status of jobStatuses) expect(phaseTransition('COMPLETED', status)).toBeNull()
  })
})

describe('What callers may ask', () => {
  it('is available exactly where it is accepted', () => {
    fc.assert(
      fc.property(anyStatus, anyWanted, (status, wanted) => {
        for (const action of jobActions) {
          const isAvailable = availableActions({ status, wanted }).includes(action)
          const ask = () => requireAction(action, { status, wanted })
          if (isAvailable) expect(ask).not.toThrow()
          else expect(ask).toThrow(expect.objectContaining({ code: 'JOB_STATE_CONFLICT' }))
        }
      }),
    )
  })

  it('names the states that it is possible from', () => {
    expect(() => requireAction('PAUSE', { status: 'QUEUED', wanted: 'RUN' })).toThrow(
      expect.objectContaining({ state: 'QUEUED', allowedFrom: ['TRAINING', 'CHECKPOINTING'] }),
    )
  })

  it('can be repeated, but a cancel cannot be turned into a pause', () => {
    expect(isRepeat('PAUSE', { status: 'TRAINING', wanted: 'PAUSE' }, '')).toBe(true)
    expect(isRepeat('PAUSE', { status: 'TRAINING', wanted: 'CANCEL' }, '')).toBe(false)
    expect(isRepeat('CANCEL', { status: 'CANCELLED', wanted: 'CANCEL' }, '')).toBe(true)
    expect(() => requireAction('PAUSE', { status: 'TRAINING', wanted: 'CANCEL' })).toThrow(/being cancelled/)
  })

  it('is in the table for every action', () => {
    expect(Object.keys(actions)).toEqual([...jobActions])
  })
})
