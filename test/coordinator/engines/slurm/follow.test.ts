import { mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { advance, type Followed } from '../../../../src/coordinator/engines/slurm/follow.js'
import type { SlurmJob } from '../../../../src/coordinator/engines/slurm/parse.js'

const at = (seconds: number) => new Date(seconds * 1000)

/** An attempt on two nodes whose launchers have begun. */
function running() {
  const directory = mkdtempSync(join(tmpdir(), 'scaimind-follow-'))
  const write = (name: string, content: object | string) =>
    writeFileSync(join(directory, name), typeof content === 'string' ? content : JSON.stringify(content))
  for (const name of ['launcher.json', 'launcher.1.json']) write(name, {})
  write('nodes', 'gpu[01-02]\n')
  const followed: Followed = {
    attempt: { jobId: 'job_1', number: 1, directory },
    handle: { jobId: 1, base: 1, token: '' },
    startTold: true,
    asked: new Set(),
    ended: null,
    nodeIds: ['gpu01', 'gpu02'],
    signs: [],
    nodeLost: '',
  }
  const look = async (state: string | null, seconds: number) => {
    const facts = { id: 1, states: [state], reason: 'None', restarts: 0, nodes: [], startTime: at(1), endTime: at(9), exitCode: null }
    return await advance(followed, { job: state === null ? null : (facts as unknown as SlurmJob), nodes: new Map(), now: at(seconds) })
  }
  return { write, look }
}
const exit = (code: number, seconds: number) => ({ code, signal: null, time: at(seconds) })

describe('An attempt', () => {
  it('that Slurm called ended, and then forgot, has ended, though an old copy of it still gives signs of life', async () => {
    const { write, look } = running()
    const lives = async (state: string | null, seconds: number) => {
      write('alive.0', String(seconds))
      return await look(state, seconds)
    }
    expect(await lives('NODE_FAIL', 10)).toEqual({ events: [], done: false })
    expect(await lives(null, 14)).toEqual({ events: [], done: false })
    expect(await lives(null, 16)).toMatchObject({
      events: [{ type: 'ended', time: at(9), lost: true, verdict: { cause: 'NODE_FAILED', words: 'NODE_FAIL' } }],
      done: true,
    })
  })

  it('has ended when every rank has ended well, however long Slurm is COMPLETING it', async () => {
    const { write, look } = running()
    write('exit.json', exit(0, 5))
    expect(await look('COMPLETING', 6)).toEqual({ events: [], done: false })
    write('exit.1.json', exit(0, 7))
    expect(await look('COMPLETING', 8)).toMatchObject({
      events: [{ type: 'ended', time: at(7), exitCode: 0, lost: false, verdict: null }],
      done: true,
    })
  })

  it('that did not end well is COMPLETING until Slurm says what becomes of it: it may run it again', async () => {
    const { write, look } = running()
    write('exit.json', exit(0, 5))
    write('exit.1.json', exit(85, 7))
    expect(await look('COMPLETING', 60)).toEqual({ events: [], done: false })
    expect(await look('PREEMPTED', 61)).toMatchObject({
      events: [{ type: 'ended', exitCode: 85, verdict: { cause: 'PREEMPTED' } }],
      done: true,
    })
  })
})
