import { mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { advance, type Followed } from '../../../../src/coordinator/engines/slurm/follow.js'
import type { SlurmJob } from '../../../../src/coordinator/engines/slurm/parse.js'

const at = (seconds: number) => new Date(seconds * 1000)

it('An attempt that Slurm called ended, and then forgot, has ended, though an old copy of it still gives signs of life', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'scaimind-follow-'))
  const followed: Followed = {
    attempt: { jobId: 'job_1', number: 1, directory },
    handle: { jobId: 1, base: 1, token: '' },
    startTold: true,
    asked: new Set(),
    ended: null,
    nodeIds: ['gpu01'],
    signs: [],
    nodeLost: '',
  }
  const failed = {
    id: 1,
    states: ['NODE_FAIL'],
    reason: 'None',
    restarts: 0,
    nodes: [],
    startTime: at(1),
    endTime: at(9),
  } as unknown as SlurmJob
  writeFileSync(join(directory, 'launcher.json'), '{}')
  const look = async (job: SlurmJob | null, seconds: number) => {
    writeFileSync(join(directory, 'alive.0'), String(seconds))
    return await advance(followed, { job, nodes: new Map(), now: at(seconds) })
  }
  expect(await look(failed, 10)).toEqual({ events: [], done: false })
  expect(await look(null, 14)).toEqual({ events: [], done: false })
  expect(await look(null, 16)).toMatchObject({
    events: [{ type: 'ended', time: at(9), lost: true, verdict: { cause: 'NODE_FAILED', words: 'NODE_FAIL' } }],
    done: true,
  })
})
