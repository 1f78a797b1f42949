import type { EngineNode } from '../engine.js'
import type { SlurmNode } from './parse.js'

const away = ['DOWN', 'NOT_RESPONDING', 'POWERED_DOWN', 'POWERING_DOWN', 'FAIL', 'UNKNOWN', 'FUTURE', 'INVAL', 'INVALID_REG']

/** Whether Slurm has contact with a node, and it may run jobs. */
export const isNodeOnline = ({ states }: Pick<SlurmNode, 'states'>): boolean =>
  !states.some((state) => away.includes(state.replace(/[*$~#!%@^-]+$/, '')) || state.endsWith('*'))

/** Whether a node takes no new work by an administrator's will. */
export const isNodeDraining = ({ states }: Pick<SlurmNode, 'states'>): boolean => states.some((state) => /^DRAIN/.test(state))

/** A node of Slurm's as the engine tells of it. `lastHeartbeat`: when Slurm last had contact with it, as far as this life saw. */
export function toEngineNode(node: SlurmNode, lastHeartbeat: Date): EngineNode {
  const { name, hostname, features, reason, reasonUser, cpus, memoryBytes } = node
  return {
    nodeId: name,
    hostname,
    features,
    online: isNodeOnline(node),
    draining: isNodeDraining(node),
    reason: reason && reasonUser ? `${reason} (${reasonUser})` : reason,
    gpus: node.gpus.map(({ index, type, used }) => ({
      index,
      type,
      // Slurm tells neither size nor load.
      memoryBytes: 0,
      memoryUsedBytes: null,
      utilization: null,
      powerWatts: null,
      temperatureCelsius: null,
      busy: used,
    })),
    cpus,
    memoryBytes,
    lastHeartbeat,
  }
}
