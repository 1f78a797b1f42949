import { join } from 'node:path'
import { lineAppender } from './append.js'
import type { Fence } from './fence.js'

/** Metrics of a trainer that only prints: takes its lines of standard output. */
export type OutputMetrics = (lines: string[]) => void

/**
 * Writes `metrics.jsonl` from printed lines such as `{"loss": 1.2, "step": 3}`; without a step, metrics are counted from 1. Writes nothing
 * where the trainer has a `metrics.jsonl` of its own: a file has one writer.
 */
export function openOutputMetrics(directory: string, fence: Fence): OutputMetrics {
  let append: ((lines: string) => boolean) | null | undefined
  let count = 0
  return (lines) => {
    const metrics = lines.flatMap((line) => parseMetrics(line) ?? [])
    if (metrics.length === 0 || append === null) return
    append ??= openOwn(join(directory, 'metrics.jsonl'), fence)
    const time = new Date().toISOString()
    append?.(metrics.map(({ step, epoch, values }) => `${JSON.stringify({ step: step ?? ++count, epoch, time, values })}\n`).join(''))
  }
}

/** A printed line's metrics: a JSON object of numbers only, at least one besides step and epoch. */
export function parseMetrics(line: string): { step: number | null; epoch: number; values: Record<string, number> } | null {
  if (!/^\s*\{/.test(line)) return null
  let parsed: unknown
  try {
    parsed = JSON.parse(line)
  } catch {
    return null
  }
  const { step, epoch, ...values } = parsed as Record<string, unknown>
  const isStep = step === undefined || (Number.isSafeInteger(step) && Number(step) >= 0)
  const isEpoch = epoch === undefined || typeof epoch === 'number'
  const numbers = Object.values(values)
  if (!isStep || !isEpoch || numbers.length === 0 || !numbers.every((value) => typeof value === 'number')) return null
  return { step: step === undefined ? null : Number(step), epoch: Number(epoch ?? 0), values: values as Record<string, number> }
}

function openOwn(path: string, fence: Fence): ((lines: string) => boolean) | null {
  try {
    return lineAppender(path, fence, 'ax')
  } catch {
    return null
  }
}
