import type { EngineNodeControl } from '../engine.js'
import type { SlurmView } from './cluster.js'
import type { SlurmCommands } from './commands.js'
import { isNodeDraining, isNodeOnline } from './nodes.js'

/** Drains and enables nodes where Slurm keeps them, as an administrator does with `scontrol update`. Throws where Slurm refuses it: only its operators may. */
export function slurmControl(commands: SlurmCommands, view: SlurmView): EngineNodeControl {
  return {
    async drain(nodeId, reason) {
      await commands.run('scontrol', 'update', `NodeName=${nodeId}`, 'State=DRAIN', `Reason=${reason || 'drained through ScaiMind'}`)
      await view.nodes('now')
    },
    async enable(nodeId) {
      const node = (await view.nodes('now')).find(({ name }) => name === nodeId)
      // Slurm refuses to resume what needs it not.
      if (node && isNodeOnline(node) && !isNodeDraining(node)) return
      await commands.run('scontrol', 'update', `NodeName=${nodeId}`, 'State=RESUME')
      await view.nodes('now')
    },
  }
}
