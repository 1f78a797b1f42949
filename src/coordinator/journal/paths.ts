import { join } from 'node:path'

/** A job as the journal knows it. */
export interface JournalJob {
  tenantId: string
  jobId: string
}

/** A job's folder. */
export function jobDirectory(dataDir: string, tenantId: string, jobId: string): string {
  return join(dataDir, 'jobs', tenantId, jobId)
}

/** The folder that attempt `number` (from 1), and nothing else, writes in. */
export function attemptDirectory(dataDir: string, tenantId: string, jobId: string, number: number): string {
  return join(jobDirectory(dataDir, tenantId, jobId), 'attempts', String(number))
}

/** The file whose line numbers are the sequence of an attempt's logs: its only rank's, or where there are several the merged one. */
export function logsPath(directory: string, ranks = 1): string {
  return join(directory, ranks > 1 ? 'logs.merged.jsonl' : 'logs.0.jsonl')
}

/** The file whose line numbers are the sequence of an attempt's metrics: the trainer's own, or where its GPUs are sampled the merged one. */
export function metricsPath(directory: string, gpuSampled = false): string {
  return join(directory, gpuSampled ? 'metrics.merged.jsonl' : 'metrics.jsonl')
}

/** The file in which a trainer tells what it does. */
export function eventsPath(directory: string): string {
  return join(directory, 'events.jsonl')
}
