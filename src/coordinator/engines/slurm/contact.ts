import type { EngineEvent } from '../engine.js'
import { awayNode, type Followed } from './follow.js'
import type { SlurmNode } from './parse.js'
import { readSigns } from './traces.js'

/** Launchers give a sign of life every five seconds. */
const silentMs = 30_000
/** For how long Slurm may be away, as when its controller is started anew, before anybody is told. */
export const awayMs = 10_000
/** For how long a node may be away: one that was just enabled does not respond for a moment, by Slurm's word. */
const nodeAwayMs = 2000

/** Tells of attempts that cannot be asked after, once each time, and when they can again. Nobody may take them for dead. */
export function contactKeeper() {
  const lost = new Map<Followed, string>()
  let awaySince: Date | null = null
  const nodeAwaySince = new WeakMap<Followed, Date>()

  function tell(followed: Followed, reason: string, since: Date): EngineEvent[] {
    const before = lost.get(followed) ?? ''
    if (reason === before) return []
    if (reason === '') lost.delete(followed)
    else lost.set(followed, reason)
    if (reason !== '' && before !== '') return []
    return [{ type: 'unreachable', attempt: followed.attempt, unreachable: reason !== '', since, reason: reason || before }]
  }

  return {
    /** Slurm, asked at `since`, did not answer. */
    slurmAway(all: Iterable<Followed>, error: unknown, { since: asked, now }: { since: Date; now: Date }): EngineEvent[] {
      awaySince ??= asked
      const since = awaySince
      // A timer may be a moment early.
      if (now.getTime() - since.getTime() < awayMs - 100) return []
      const reason = error instanceof Error ? error.message : String(error)
      return [...all].flatMap((followed) => (lost.has(followed) ? [] : tell(followed, reason, since)))
    },

    /** Slurm answered; of what waits there no more is asked, of what runs that its nodes and launchers are there. */
    async slurmThere(
      followed: Followed,
      { running, nodes, now }: { running: boolean; nodes: Map<string, SlurmNode>; now: Date },
    ): Promise<EngineEvent[]> {
      awaySince = null
      if (!running) return tell(followed, '', now)
      const away = awayNode(followed, nodes)
      if (!away) nodeAwaySince.delete(followed)
      else {
        const since = nodeAwaySince.get(followed) ?? now
        nodeAwaySince.set(followed, since)
        if (now.getTime() - since.getTime() >= nodeAwayMs) return tell(followed, `${away.name} is ${away.states.join(', ')}`, since)
      }
      const silent = await silentLauncher(followed, followed.nodeIds.length, now)
      return silent ? tell(followed, `the launcher of rank ${silent.rank} is silent`, silent.since) : tell(followed, '', now)
    },

    /** What is on the disk of an attempt could not be read. */
    unreadable: (followed: Followed, error: unknown, now: Date): EngineEvent[] =>
      tell(followed, error instanceof Error ? error.message : String(error), now),

    forget: (followed: Followed): boolean => lost.delete(followed),
  }
}

/** A launcher that gave no sign of life for 30 s, by our own clock: that of its node may be wrong. */
export async function silentLauncher(followed: Followed, ranks: number, now: Date): Promise<{ rank: number; since: Date } | null> {
  const signs = await readSigns(followed.attempt.directory, ranks)
  for (const [rank, value] of signs.entries()) {
    const before = followed.signs[rank]
    if (before?.value !== value) followed.signs[rank] = { value, seenAt: now.getTime() }
    else if (now.getTime() - before.seenAt > silentMs) return { rank, since: new Date(before.seenAt) }
  }
  return null
}
