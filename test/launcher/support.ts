import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { onTestFinished, vi } from 'vitest'

const dist = resolve(import.meta.dirname, '../../dist/launcher')

/** A job's folder, in which attempts lie under `attempts`. */
export function jobFolder(): string {
  const job = mkdtempSync(join(tmpdir(), 'scaimind-launcher-'))
  onTestFinished(({ task }) => {
    if (task.result?.state === 'pass') rmSync(job, { recursive: true, force: true })
  })
  return job
}

/** The folder of an attempt, by default the first of a new job, with an order to run a Node script. */
export function orderOf(script: string, more: { job?: string; attempt?: number; [field: string]: unknown } = {}): string {
  const { job = jobFolder(), attempt = 1, ...fields } = more
  const folder = join(job, 'attempts', String(attempt))
  mkdirSync(folder, { recursive: true })
  const order = {
    job_id: 'job',
    attempt,
    token: `token-${attempt}`,
    command: [process.execPath, '--input-type=module', '-e', script],
    environment: { PATH: '/usr/bin:/bin' },
    stop_grace_seconds: 30,
    ...fields,
  }
  writeFileSync(join(folder, 'launch.json'), JSON.stringify(order))
  return folder
}

/** Starts a launcher. */
export function start(folder: string, words: string[] = [], environment: NodeJS.ProcessEnv = {}) {
  const env = { PATH: process.env.PATH, ...environment }
  return spawn(process.execPath, [join(dist, 'main.js'), folder, ...words], { stdio: ['ignore', 'ignore', 'pipe'], env })
}

/** Runs a launcher to its end; answers its exit code. */
export async function exited(folder: string, words: string[] = [], environment: NodeJS.ProcessEnv = {}): Promise<number | null> {
  const [code] = await once(start(folder, words, environment), 'exit')
  return code
}

/** Runs `requeue.js` to its end. */
export async function requeue(job: string, from: number, restarts: number): Promise<{ code: number; stdout: string; stderr: string }> {
  const child = spawn(process.execPath, [join(dist, 'requeue.js'), job, '--from', String(from), '--restarts', String(restarts)])
  const said = { stdout: '', stderr: '' }
  for (const stream of ['stdout', 'stderr'] as const) child[stream].on('data', (chunk) => (said[stream] += chunk))
  const [code] = await once(child, 'close')
  return { code, ...said }
}

/** A JSON file of a folder. */
export const read = (folder: string, name: string) => JSON.parse(readFileSync(join(folder, name), 'utf8'))

/** The records of a file of JSON lines. */
export const linesOf = (folder: string, name: string): { time: string; [field: string]: unknown }[] =>
  readFileSync(join(folder, name), 'utf8')
    .split('\n')
    .flatMap((line) => (line === '' ? [] : [JSON.parse(line)]))

/** The lines of a rank's log, or of the merged one. */
export const logs = (folder: string, which: number | 'merged' = 0) =>
  linesOf(folder, `logs.${which}.jsonl`) as { time: string; rank: number; text: string; [field: string]: unknown }[]

/** The text of a file, as soon as it holds some. */
export const untilWritten = (folder: string, name: string): Promise<string> =>
  vi.waitFor(
    () => {
      const path = join(folder, name)
      const text = existsSync(path) ? readFileSync(path, 'utf8') : ''
      if (text === '') throw new Error(`${path} is not there`)
      return text
    },
    { timeout: 30_000, interval: 10 },
  )
