import { availableParallelism } from 'node:os'
import { ConfigError, type CoordinatorConfig } from '../config.js'
import type { Engine } from './engines/engine.js'
import { localEngine } from './engines/local/engine.js'
import { slurmCommands } from './engines/slurm/commands.js'
import { slurmEngine } from './engines/slurm/engine.js'

/** What runs the jobs, as the settings say. */
export function chooseEngine(config: CoordinatorConfig): Engine {
  switch (config.SCAIMIND_ENGINE) {
    case 'local':
      return localEngine({ cpuSlots: config.SCAIMIND_CPU_SLOTS ?? Math.max(1, availableParallelism() - 1), searchPath: config.PATH })
    case 'slurm': {
      const { SCAIMIND_SLURM_PREEMPTIBLE_PARTITION: preemptiblePartition, SCAIMIND_SLURM_ACCOUNTS: account } = config
      return slurmEngine({ ...slurmOf(config), ...(preemptiblePartition ? { preemptiblePartition } : {}), account })
    }
  }
}

/** Throws ConfigError that names the setting where what is to run the jobs is not there or cannot be told what it is told: a standby must know before it takes over. A Slurm that is only away is no fault. */
export function requireEngine(config: CoordinatorConfig): void {
  if (config.SCAIMIND_ENGINE !== 'slurm') {
    if (config.SCAIMIND_HF_MODULES.length === 0) return
    throw new ConfigError(
      'SCAIMIND_HF_MODULES: modules are loaded by the batch scripts of SCAIMIND_ENGINE=slurm; for this machine, load them where the coordinator is started from, or set SCAIMIND_HF_PYTHON or SCAIMIND_HF_WRAPPER.',
    )
  }
  try {
    slurmCommands(slurmOf(config)).version()
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    throw new ConfigError(`SCAIMIND_SLURM_PATH: Slurm's commands cannot be run from ${config.SCAIMIND_SLURM_PATH}: ${reason}.`, {
      cause: error,
    })
  }
}

function slurmOf({ SCAIMIND_SLURM_PATH: commandsPath, SCAIMIND_SLURM_CONF: conf }: CoordinatorConfig) {
  return { commandsPath, ...(conf ? { conf } : {}) }
}
