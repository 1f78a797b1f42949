import { readFileSync } from 'node:fs'
import { join } from 'node:path'

/** What a launcher is told, by `launch.json` in the attempt's folder. */
export interface LaunchOrder {
  job_id: string
  attempt: number
  /** Names the launch of the attempt; also what its fence holds. */
  token: string
  /** Program and arguments; the starter's words are not among them. */
  command: string[]
  /** The trainer's whole environment, but for what the launcher adds. */
  environment: Record<string, string>
  stop_grace_seconds: number
  /** Whether JSON objects of numbers on standard output are metrics. */
  metrics_from_output?: boolean
  /** Seconds between two samples of the trainer's GPUs. Default 0: none are taken. */
  gpu_sample_seconds?: number
}

/** Reads the order. Throws where a field is missing or of another type. */
export function readOrder(directory: string): LaunchOrder {
  const order = JSON.parse(readFileSync(join(directory, 'launch.json'), 'utf8')) as LaunchOrder
  const types = {
    job_id: 'string',
    attempt: 'number',
    token: 'string',
    environment: 'object',
  } as const
  for (const [name, type] of Object.entries(types)) {
    if (typeof order[name as keyof LaunchOrder] !== type) throw new Error(`launch.json: ${name} must be of type ${type}`)
  }
  if (!Array.isArray(order.command) || order.command.length === 0) throw new Error('launch.json: command must name a program')
  if (!(order.stop_grace_seconds >= 0)) throw new Error('launch.json: stop_grace_seconds must be a number of seconds')
  return order
}
