import { expandNumbers } from './hostlist.js'

/** GPUs of one type, in Slurm's words. */
export interface GpuGres {
  /** Empty where the cluster names no types. */
  type: string
  count: number
  /** Which of the node's GPUs, by Slurm's index; null where it is not said. */
  indexes: number[] | null
}

/** The GPUs in a gres list: `gpu:a100:4(S:0-1),nic:2`, `gpu:a100:2(IDX:0-1)`, `gpu:4`, or `gres:gpu:…` and `gres/gpu:…`. */
export function parseGpuGres(list: string): GpuGres[] {
  const entries = list.match(/(?:[^,(]|\([^)]*\))+/g) ?? []
  return entries.flatMap((entry) => {
    const match = /^(?:gres[:/])?gpu(?::([A-Za-z_][^:(=]*))?(?:[:=](\d+))?(?:\((.*)\))?$/.exec(entry.trim())
    if (!match) return []
    const [, type = '', count = '1', details = ''] = match
    const indexes = /IDX:([\d,-]*)/.exec(details)
    return { type, count: Number(count), indexes: indexes ? expandNumbers(indexes[1] ?? '') : null }
  })
}
