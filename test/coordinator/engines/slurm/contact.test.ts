import { mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { contactKeeper } from '../../../../src/coordinator/engines/slurm/contact.js'
import type { Followed } from '../../../../src/coordinator/engines/slurm/follow.js'
import type { SlurmNode } from '../../../../src/coordinator/engines/slurm/parse.js'

const at = (seconds: number) => new Date(seconds * 1000)

function running(): Followed {
  const directory = mkdtempSync(join(tmpdir(), 'scaimind-contact-'))
  const attempt = { jobId: 'job_1', number: 1, directory }
  const handle = { jobId: 1, base: 1, token: '' }
  return { attempt, handle, startTold: true, asked: new Set(), ended: null, nodeIds: ['gpu01'], signs: [], nodeLost: '' }
}
const nodes = (...states: string[]) => new Map([['gpu01', { name: 'gpu01', states } as SlurmNode]])

describe('Contact with an attempt', () => {
  it('is lost when Slurm has been away for ten seconds, since it went away, and comes back with it', async () => {
    const contact = contactKeeper()
    const followed = running()
    const away = (seconds: number) => contact.slurmAway([followed], new Error('away'), { since: at(seconds), now: at(seconds) })
    expect([away(100), away(105)].flat()).toEqual([])
    expect(away(110)).toMatchObject([{ type: 'unreachable', unreachable: true, since: at(100), reason: 'away' }])
    expect(away(120)).toEqual([])
    const back = await contact.slurmThere(followed, { running: true, nodes: nodes('MIXED'), now: at(121) })
    expect(back).toMatchObject([{ unreachable: false }])
  })

  it('is lost when its node does not respond for more than a moment', async () => {
    const contact = contactKeeper()
    const followed = running()
    const look = (seconds: number, ...states: string[]) =>
      contact.slurmThere(followed, { running: true, nodes: nodes(...states), now: at(seconds) })
    expect(await look(1, 'MIXED', 'NOT_RESPONDING')).toEqual([])
    expect(await look(2, 'MIXED')).toEqual([])
    expect(await look(3, 'DOWN')).toEqual([])
    expect(await look(6, 'DOWN')).toMatchObject([{ unreachable: true, since: at(3), reason: 'gpu01 is DOWN' }])
    expect(await look(7, 'MIXED')).toMatchObject([{ unreachable: false }])
  })

  it('is lost when a launcher gives no sign of life for half a minute', async () => {
    const contact = contactKeeper()
    const followed = running()
    const look = (seconds: number) => contact.slurmThere(followed, { running: true, nodes: nodes('MIXED'), now: at(seconds) })
    expect([await look(0), await look(30)].flat()).toEqual([])
    expect(await look(31)).toMatchObject([{ unreachable: true, since: at(0), reason: 'the launcher of rank 0 is silent' }])
    writeFileSync(join(followed.attempt.directory, 'alive.0'), '1\n')
    expect(await look(32)).toMatchObject([{ unreachable: false }])
  })
})
