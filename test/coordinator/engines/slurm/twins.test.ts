import { describe, expect, it } from 'vitest'
import type { SlurmJob } from '../../../../src/coordinator/engines/slurm/parse.js'
import { tellTwins } from '../../../../src/coordinator/engines/slurm/twins.js'

const job = (id: number, state: string, exitCode: number | null = null) => ({ id, states: [state], exitCode }) as SlurmJob
const told = (jobs: SlurmJob[], id: number | null) => {
  const { job, surplus } = tellTwins(jobs, id)
  return [job?.id ?? null, surplus.map((each) => each.id)]
}

describe('Of two jobs in Slurm under one attempt’s name', () => {
  it.each<[string, SlurmJob[], number | null, (number | null | number[])[]]>([
    ['the one that was answered is the attempt, and the other must not run', [job(1, 'PENDING'), job(2, 'PENDING')], 2, [2, [1]]],
    ['it stays so when it runs', [job(1, 'PENDING'), job(2, 'RUNNING')], 2, [2, [1]]],
    ['the one that runs is the attempt where it was faster', [job(1, 'RUNNING'), job(2, 'PENDING')], 2, [1, [2]]],
    ['the one that found the folder taken is not', [job(1, 'RUNNING'), job(2, 'FAILED', 3)], 2, [1, []]],
    ['nor is it when both have ended', [job(1, 'TIMEOUT'), job(2, 'FAILED', 3)], 2, [1, []]],
    ['what waits after the other’s end must not run', [job(1, 'PENDING'), job(2, 'CANCELLED')], 2, [2, [1]]],
    ['what waits after Slurm has forgotten the other must not run', [job(1, 'PENDING')], 2, [null, [1]]],
  ])('%s', (_name, jobs, id, expected) => {
    expect(told(jobs, id)).toEqual(expected)
    expect(told([...jobs].reverse(), id)).toEqual(expected)
  })
})
