import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { hostname, tmpdir } from 'node:os'
import { join } from 'node:path'
import { onTestFinished, vi } from 'vitest'
import type { AttemptOrder, Engine, EngineEvent, Needs, SchedulingRequest } from '../../src/coordinator/engines/engine.js'

/** What the engine has told so far, and waiting for what it will tell. */
export interface Told {
  events: EngineEvent[]
  /** The end of an attempt of the job. */
  ended(jobId: string): Promise<Extract<EngineEvent, { type: 'ended' }>>
}

/** Listens to an engine until the signal aborts. */
export function listen(engine: Engine, signal: AbortSignal): Told {
  const events: EngineEvent[] = []
  const reading = (async () => {
    for await (const event of engine.watch(signal)) events.push(event)
  })()
  reading.catch(() => {})
  return {
    events,
    ended: (jobId) =>
      vi.waitFor(
        () => {
          const found = events.find((event) => event.type === 'ended' && event.attempt.jobId === jobId)
          if (found?.type !== 'ended') throw new Error(`${jobId} has not ended`)
          return found
        },
        { timeout: 30_000, interval: 10 },
      ),
  }
}

let count = 0

/** An attempt in a folder of its own, whose trainer is a Node script. Nothing in it is shared with another. */
export function attemptOf(script: string, more: Partial<AttemptOrder> = {}): AttemptOrder {
  const jobId = `job_${process.pid}x${++count}`
  const job = mkdtempSync(join(tmpdir(), 'scaimind-job-'))
  const directory = join(job, 'attempts', '1')
  mkdirSync(directory, { recursive: true })
  onTestFinished(({ task }) => {
    // What the test began may still write its last lines there.
    if (task.result?.state === 'pass') rmSync(job, { recursive: true, force: true, maxRetries: 20, retryDelay: 50 })
  })
  writeFileSync(join(directory, 'job.json'), '{}')
  writeFileSync(join(directory, 'script.mjs'), script)
  return {
    jobId,
    number: 1,
    tenantId: 'tenant',
    token: `token-${jobId}`,
    directory,
    command: [process.execPath, join(directory, 'script.mjs')],
    framework: '',
    environment: { PATH: '/usr/bin:/bin' },
    placement: [{ nodeId: hostname(), gpuIndexes: [], cpus: 1, memoryBytes: 0 }],
    scheduling: schedulingOf(),
    stopGraceSeconds: 30,
    ...more,
  }
}

/** What a small job without GPUs asks of a scheduler. */
export function schedulingOf(more: Partial<SchedulingRequest> = {}, needs: Partial<Needs> = {}): SchedulingRequest {
  const small = { gpuCount: 0, gpuType: '', nodes: 1, gpuMemoryBytesMin: 0, cpusPerNode: 1, memoryBytesPerNode: 2 ** 29, nodeSelector: {} }
  return {
    tenantId: 'tenant',
    needs: { ...small, ...needs },
    queue: 'default',
    priority: 5,
    notBefore: null,
    dependencies: [],
    runSecondsMax: null,
    preemptible: false,
    requeue: true,
    name: 'A small job',
    labels: {},
    ...more,
  }
}

/** The text of a file of the attempt, as soon as it holds some. */
export function untilWritten(order: AttemptOrder, name: string): Promise<string> {
  const path = join(order.directory, name)
  return vi.waitFor(
    () => {
      const text = existsSync(path) ? readFileSync(path, 'utf8') : ''
      if (text === '') throw new Error(`${path} is not there`)
      return text
    },
    { timeout: 30_000, interval: 10 },
  )
}

/** The log lines of one of the attempt's ranks. */
export function logLines(
  order: AttemptOrder,
  rank = 0,
): { seq: number; rank: number; stream: string; level: string; text: string; time: string }[] {
  const text = readFileSync(join(order.directory, `logs.${rank}.jsonl`), 'utf8')
  return text.split('\n').flatMap((line) => (line === '' ? [] : JSON.parse(line)))
}

/** Whether a process with this pid is alive. */
export function isAlive(pid: number): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    return !/^[ZX]/.test(stat.slice(stat.lastIndexOf(')') + 2))
  } catch {
    try {
      return !existsSync('/proc/self') && process.kill(pid, 0)
    } catch {
      return false
    }
  }
}
