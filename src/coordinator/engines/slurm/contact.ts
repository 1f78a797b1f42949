import type { EngineEvent } from '../engine.js'
import type { Followed } from './follow.js'
import { isNodeOnline } from './nodes.js'
import type { SlurmNode } from './parse.js'
import { readSigns } from './traces.js'

/** Launchers give a sign of life every five seconds. */
const silentMs = 30_000
/** For how long Slurm may be away, as when its controller is started anew, before anybody is told. */
const awayMs = 10_000

/** Tells of attempts that cannot be asked after, once each time, and when they can again. Nobody may take them for dead. */
export function contactKeeper() {
  const lost = new Map<Followed, string>()
  let awaySince: Date | null = null

  function tell(followed: Followed, reason: string, since: Date): EngineEvent[] {
    const before = lost.get(followed) ?? ''
    if (reason === before) return []
    if (reason === '') lost.delete(followed)
    else lost.set(followed, reason)
    if (reason !== '' && before !== '') return []
    return [{ type: 'unreachable', attempt: followed.attempt, unreachable: reason !== '', since, reason: reason || before }]
  }

  return {
    /** Slurm did not answer. */
    slurmAway(all: Iterable<Followed>, error: unknown, now: Date): EngineEvent[] {
      awaySince ??= now
      const since = awaySince
      if (now.getTime() - since.getTime() < awayMs) return []
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
      const away = followed.nodeIds.find((id) => {
        const node = nodes.get(id)
        return node !== undefined && !isNodeOnline(node)
      })
      if (away) return tell(followed, `${away} is ${nodes.get(away)?.states.join(', ')}`, now)
      const silent = await silentLauncher(followed, followed.nodeIds.length, now)
      return silent ? tell(followed, `the launcher of rank ${silent.rank} is silent`, silent.since) : tell(followed, '', now)
    },

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
