/** Which logs are merged. */
export interface MergeRanksOptions {
  /** The attempt's folder. */
  directory: string
  /** Launchers that write logs there, one a node. */
  ranks: number
  /** Whether the attempt's processes are proven dead; asked before each read. */
  closed: () => boolean
  signal: AbortSignal
}

/**
 * Merges the logs of several ranks into one sequence, `logs.merged.jsonl`, as they are written; goes on where an earlier life stopped.
 * One at a time an attempt, and none for an attempt of one rank. Ends when the attempt is closed and all is merged, or the signal aborts.
 */
export async function mergeRanks(_options: MergeRanksOptions): Promise<void> {
  throw new Error('not built yet')
}
