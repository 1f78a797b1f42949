import type { Engine } from '../engine.js'

/** What the local engine is made of. */
export interface LocalEngineOptions {
  /** CPU slots of this machine, for jobs without GPUs. */
  cpuSlots: number
  /** The Node program that runs launchers. Default: the one that runs this process. */
  nodeBinary?: string
  /** The built launcher. Default: `dist/launcher/main.js` of this package. */
  launcherPath?: string
  /** The program that is asked for GPUs. Default `nvidia-smi`, from PATH; where it fails there are none. */
  nvidiaSmi?: string
  clock?: () => Date
}

/**
 * Runs attempts on this machine, each under a launcher in a session of its own, so that it outlives the coordinator. All that
 * the engine must know in a later life is in the attempt's folder. See `Engine` for the promises of each method.
 */
export function localEngine(_options: LocalEngineOptions): Engine {
  throw new Error('not built yet')
}
