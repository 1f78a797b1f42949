import { InvalidInput } from '../../../contract/failure.js'
import type { EngineNodeControl } from '../engine.js'
import type { SlurmView } from './cluster.js'
import type { SlurmCommands } from './commands.js'
import { SlurmRefused } from './failures.js'
import { isNodeDraining } from './nodes.js'

/** Drains and enables nodes where Slurm keeps them, as an administrator does with `scontrol update`. Throws INVALID_ARGUMENT in Slurm's words where it refuses: only its operators may. */
export function slurmControl(commands: SlurmCommands, view: SlurmView): EngineNodeControl {
  return {
    async drain(nodeId, reason) {
      try {
        await commands.run('scontrol', 'update', `NodeName=${nodeId}`, 'State=DRAIN', `Reason=${reason || 'drained through ScaiMind'}`)
      } catch (error) {
        throw refusalOf(error)
      }
      await view.nodes('now')
    },
    async enable(nodeId) {
      try {
        await commands.run('scontrol', 'update', `NodeName=${nodeId}`, 'State=RESUME')
      } catch (error) {
        if (!(error instanceof SlurmRefused)) throw error
        // Slurm refuses to resume a node that takes work already. For a moment after it resumed one it calls it not responding.
        const node = (await view.nodes('now')).find(({ name }) => name === nodeId)
        if (!node || isNodeDraining(node) || node.states.includes('DOWN')) throw refusalOf(error)
      }
      await view.nodes('now')
    },
  }
}

function refusalOf(error: unknown): unknown {
  return error instanceof SlurmRefused ? new InvalidInput([{ path: 'node_id', message: error.message }], 'INVALID_ARGUMENT') : error
}
