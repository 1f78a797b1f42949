import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, renameSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { claimFolder } from './claim.js'
import { openLogFile } from './log-file.js'
import { type LaunchOrder, readOrder } from './order.js'
import { openOutputMetrics } from './output-metrics.js'
import { drain, openOutputPipes } from './output-pipes.js'
import { isGroupAlive, signalGroup } from './processes.js'
import { readyPids } from './ready-pids.js'
import { openGate, prepareTrainer } from './trainer-process.js'

/**
 * Runs one attempt on one node: `node main.js FOLDER`. It outlives whoever started it, and imports nothing of ours, so that it can.
 *
 * In the folder it reads `launch.json`, and writes `launcher.json` (who runs it), `logs.<rank>.jsonl`, for trainers that only print
 * `metrics.jsonl`, and last, when the trainer's whole process group is dead and its output is written, `exit.json`.
 *
 * SIGTERM: asks the trainer's group to stop, once, and kills it after the grace. SIGUSR1: goes on to the pids that announced it.
 */
async function runAttempt(directory: string): Promise<void> {
  const order = readOrder(directory)
  const requests = listenForSignals(directory, order)
  const claim = claimFolder(directory, order.token)
  if (!claim) return
  const logs = openLogFile(directory, order.rank)
  const metrics = order.metrics_from_output ? openOutputMetrics(directory) : () => {}
  const output = openOutputPipes()
  const drains = (['stdout', 'stderr'] as const).map((stream) => {
    const told = (lines: string[]) => (stream === 'stdout' ? metrics(lines) : undefined)
    return drain(output[stream].reader, {
      data: (chunk) => told(logs.take(stream, chunk)),
      end: () => told(logs.finish(stream)),
    })
  })
  const trainer = await startOrFailure(prepareTrainer(directory, order, output))
  for (const { writeEnd } of Object.values(output)) closeSync(writeEnd)
  if (trainer instanceof Error) {
    logs.say(`The trainer cannot be started: ${trainer.message}`)
    return writeExit(directory, 127, null)
  }
  const { pid } = trainer
  const exited = once(trainer, 'exit') as Promise<[number | null, NodeJS.Signals | null]>
  claim.recordTrainer(pid)
  openGate(trainer)
  requests.started(pid)
  const [code, signal] = await exited
  await killLeftovers(pid)
  await Promise.all(drains.map((stream) => stream.finished()))
  await writeExit(directory, code, signal)
}

/** The trainer once it has a pid, or why it cannot be started. */
async function startOrFailure(preparing: Promise<ChildProcess>): Promise<(ChildProcess & { pid: number }) | Error> {
  try {
    const trainer = await preparing
    if (trainer.pid !== undefined) return trainer as ChildProcess & { pid: number }
    const [error] = (await once(trainer, 'error')) as [Error]
    return error
  } catch (error) {
    return error as Error
  }
}

/** From here on signals are requests. Those that come before the trainer is there wait for it. */
function listenForSignals(directory: string, order: LaunchOrder): { started(pid: number): void } {
  let group: number | null = null
  let stopAsked = false
  function stop(): void {
    // A second SIGTERM would make a trainer give up its checkpoint, and only says what the first one said.
    if (stopAsked && group !== null) return
    stopAsked = true
    if (group === null) return
    const trainerGroup = group
    signalGroup(trainerGroup, 'SIGTERM')
    setTimeout(() => signalGroup(trainerGroup, 'SIGKILL'), order.stop_grace_seconds * 1000)
  }
  process.on('SIGTERM', stop)
  process.on('SIGUSR1', () => {
    if (group === null) return
    for (const pid of readyPids(directory, group)) {
      try {
        process.kill(pid, 'SIGUSR1')
      } catch {
        // It ended by itself.
      }
    }
  })
  for (const signal of ['SIGINT', 'SIGHUP'] as const) process.on(signal, () => {})
  return {
    started(pid) {
      group = pid
      if (!stopAsked) return
      stopAsked = false
      stop()
    },
  }
}

async function killLeftovers(group: number): Promise<void> {
  for (let pauseMs = 5; isGroupAlive(group); pauseMs = Math.min(pauseMs * 2, 200)) {
    signalGroup(group, 'SIGKILL')
    await delay(pauseMs)
  }
}

/** Tells the end, by rename. Where the disk stays full for a while the attempt counts as lost. */
async function writeExit(directory: string, code: number | null, signal: string | null): Promise<void> {
  const path = join(directory, 'exit.json')
  for (let tries = 1; ; tries++) {
    try {
      writeFileSync(`${path}.part`, JSON.stringify({ code, signal, time: new Date().toISOString() }))
      return renameSync(`${path}.part`, path)
    } catch (error) {
      if (tries === 10) throw error
      await delay(1000)
    }
  }
}

try {
  const [directory] = process.argv.slice(2)
  if (!directory) throw new Error("give the attempt's folder")
  await runAttempt(resolve(directory))
  process.exit(0)
} catch (error) {
  process.stderr.write(`${(error as Error).message}\n`)
  process.exit(1)
}
