import type { EngineQueueEntry, Needs } from '../../engines/engine.js'
import { type Blocker, blocker, roomBlockers } from './blockers.js'
import type { Machine, NamedJob } from './place.js'
import { findRoom } from './room.js'

/** What surrounds a job in its engine's queue. */
export interface WaitContext {
  needs: Needs
  machines: Machine[]
  /** What is ahead of it; null for jobs that are none of ours. */
  ahead: (NamedJob | null)[]
}

/** Why a job waits in its engine's queue: the engine's word, with what we can see of it. Pure. */
export function waitBlockers(
  { waitsFor, reason, estimatedStart: until }: Pick<EngineQueueEntry, 'waitsFor' | 'reason' | 'estimatedStart'>,
  { needs, machines, ahead }: WaitContext,
): Blocker[] {
  switch (waitsFor) {
    case null:
      return []
    case 'PRIORITY': {
      const jobs = ahead.flatMap((job) => job ?? [])
      return [blocker('JOBS_AHEAD', { of: reason, need: Math.max(1, ahead.length), jobs, until })]
    }
    case 'RESOURCES': {
      // Where our records show room, jobs that are none of ours are in it.
      const lacking = findRoom(needs, machines) ? [] : roomBlockers(needs, machines)
      return lacking.length > 0 ? lacking.map((each) => ({ ...each, until })) : [taken(needs, reason, until)]
    }
    case 'START_TIME':
      return [blocker('START_TIME', { until })]
    case 'DEPENDENCY':
      return [blocker('DEPENDENCY', { of: reason, need: 1 })]
    case 'QUOTA':
      return [blocker('QUOTA', { of: reason, until })]
    case 'NODES':
    case 'FOREVER':
      return [blocker('NODES', { of: reason, need: needs.nodes, until })]
    default:
      throw new Error(`There is no wait ${waitsFor satisfies never}.`)
  }
}

function taken({ gpuCount, gpuType, nodes, cpusPerNode }: Needs, reason: string, until: Date | null): Blocker {
  if (gpuCount > 0) return blocker('GPUS', { of: gpuType, need: gpuCount, until })
  return blocker('CPUS', { of: reason, need: nodes * cpusPerNode, until })
}
