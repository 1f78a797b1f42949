import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, existsSync, renameSync, writeFileSync } from 'node:fs'
import { constants } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { type LauncherArguments, readArguments } from './arguments.js'
import { claimFolder } from './claim.js'
import { readyPids, toldFailure } from './events.js'
import { type Fence, takeFence } from './fence.js'
import { sampleGpus } from './gpu-samples.js'
import { openLogFile } from './log-file.js'
import { type LaunchOrder, readOrder } from './order.js'
import { openOutputMetrics } from './output-metrics.js'
import { drain, openOutputPipes } from './output-pipes.js'
import { rankFile } from './rank-file.js'
import { giveSignsOfLife } from './signs-of-life.js'
import { identityOf, openGate, prepareTrainer, trainerEnvironment } from './trainer-process.js'
import { type TrainerProcesses, trainerProcesses } from './trainer-processes.js'

/** The exit code of a launcher whose attempt is another's: one has its folder, or a newer attempt has begun. */
const overtakenCode = 3
/** That of a trainer which stopped as it was asked to. Starters have codes of their own: torchrun ends with 1 after a SIGTERM, whatever its workers did. */
const stoppedCode = 85
const fenceIntervalMs = 1000
/** A look at the fence that is this old counts, with a margin: 200 ms before each line. */
const fenceAgeMs = 400

/**
 * Runs one attempt on one node: `node main.js FOLDER`, and on several nodes one a node. It outlives whoever started it, and imports nothing of
 * ours, so that it can.
 *
 * In the folder it reads `launch.json`, and writes `launcher.json` (who runs it), `logs.<rank>.jsonl`, `alive.<rank>` while the trainer runs, for
 * trainers that only print `metrics.jsonl` (rank 0), where it is asked to `gpu.<rank>.jsonl`, and last, when the trainer's processes are dead and its output is written, `exit.json`.
 * Ranks beyond 0 write `launcher.<rank>.json` and `exit.<rank>.json`.
 *
 * SIGTERM: asks the trainer's group to stop, once, and kills it after the grace. SIGUSR1: goes on to the pids that announced it. Where a newer attempt of
 * the job has begun, the trainer is killed and nothing more is written.
 *
 * Answers the exit code: the trainer's, 128 and the signal's number where one ended it, 127 where it cannot be started, 3 where the attempt is another's.
 */
async function runAttempt(given: LauncherArguments): Promise<number> {
  const { directory, rank } = given
  const order = readOrder(directory)
  const requests = listenForSignals(directory, order)
  const fence = takeFence(directory, order, () => {
    requests.kill()
    process.exit(overtakenCode)
  })
  const claim = claimFolder(directory, rank, order.token)
  if (!claim) return overtakenCode
  // The copy that a scheduler gave up may live: what it knows of the fence is at most so old, and nothing of it may follow what comes now.
  if (existsSync(join(directory, 'requeued.json'))) await delay(fenceAgeMs)
  setInterval(() => fence.check(), fenceIntervalMs)
  const logs = openLogFile(directory, rank, fence)
  // The file has one writer: what other ranks print of metrics is in the log.
  const metrics = order.metrics_from_output && rank === 0 ? openOutputMetrics(directory, fence) : () => {}
  const output = openOutputPipes()
  const drains = (['stdout', 'stderr'] as const).map((stream) => {
    const told = (lines: string[]) => (stream === 'stdout' ? metrics(lines) : undefined)
    return drain(output[stream].reader, {
      data: (chunk) => told(logs.take(stream, chunk)),
      end: () => told(logs.finish(stream)),
    })
  })
  const leader = await startOrFailure(prepareTrainer({ order, arguments: given, environment: process.env, output }))
  for (const { writeEnd } of Object.values(output)) closeSync(writeEnd)
  if (leader instanceof Error) {
    logs.say(`The trainer cannot be started: ${leader.message}`)
    await writeExit(given, fence, { code: 127, signal: null })
    return 127
  }
  const marks = Object.entries(identityOf(directory, rank)).map(([name, value]) => `${name}=${value}`)
  const trainer = trainerProcesses(leader.pid, given.starter.length > 0 ? marks : [])
  const exited = once(leader, 'exit') as Promise<[number | null, NodeJS.Signals | null]>
  fence.check()
  claim.recordTrainer(leader.pid)
  openGate(leader)
  requests.started(trainer)
  const stopSigns = giveSignsOfLife(directory, rank, fence)
  const stopSamples = sampleGpus({
    directory,
    rank,
    seconds: order.gpu_sample_seconds ?? 0,
    environment: trainerEnvironment(order, given, process.env),
    searchPath: process.env.PATH ?? '',
    fence,
  })
  const [ownCode, signal] = await exited
  stopSamples()
  await killLeftovers(trainer)
  stopSigns()
  await Promise.all(drains.map((stream) => stream.finished()))
  const isStopped = given.starter.length > 0 && requests.wasStopAsked() && ownCode !== null && ownCode !== 0 && !toldFailure(directory)
  const code = isStopped ? stoppedCode : ownCode
  await writeExit(given, fence, { code, signal })
  return code ?? 128 + (signal ? constants.signals[signal] : 0)
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
function listenForSignals(
  directory: string,
  order: LaunchOrder,
): { started(processes: TrainerProcesses): void; wasStopAsked(): boolean; kill(): void } {
  let trainer: TrainerProcesses | null = null
  let stopAsked = false
  function stop(): void {
    // A second SIGTERM would make a trainer give up its checkpoint, and only says what the first one said.
    if (stopAsked && trainer !== null) return
    stopAsked = true
    if (trainer === null) return
    const stopped = trainer
    stopped.signal('SIGTERM')
    setTimeout(() => stopped.kill(), order.stop_grace_seconds * 1000)
  }
  process.on('SIGTERM', stop)
  process.on('SIGUSR1', () => {
    if (trainer === null) return
    for (const pid of readyPids(directory, trainer)) {
      try {
        process.kill(pid, 'SIGUSR1')
      } catch {
        // It ended by itself.
      }
    }
  })
  for (const signal of ['SIGINT', 'SIGHUP'] as const) process.on(signal, () => {})
  return {
    started(processes) {
      trainer = processes
      if (!stopAsked) return
      stopAsked = false
      stop()
    },
    wasStopAsked: () => stopAsked,
    // Before it has started it waits for this process, and ends with it.
    kill: () => trainer?.kill(),
  }
}

async function killLeftovers(trainer: TrainerProcesses): Promise<void> {
  for (let pauseMs = 5; trainer.isAlive(); pauseMs = Math.min(pauseMs * 2, 200)) {
    trainer.kill()
    await delay(pauseMs)
  }
}

/** One of the two is null. */
interface TrainerEnd {
  code: number | null
  signal: NodeJS.Signals | null
}

/** Tells the end, by rename. Where the disk stays full for a while the attempt counts as lost. */
async function writeExit({ directory, rank }: LauncherArguments, fence: Fence, end: TrainerEnd): Promise<void> {
  const path = join(directory, rankFile('exit', rank))
  for (let tries = 1; ; tries++) {
    fence.check()
    try {
      writeFileSync(`${path}.part`, JSON.stringify({ ...end, time: new Date().toISOString() }))
      return renameSync(`${path}.part`, path)
    } catch (error) {
      if (tries === 10) throw error
      await delay(1000)
    }
  }
}

try {
  process.exit(await runAttempt(readArguments(process.argv.slice(2))))
} catch (error) {
  process.stderr.write(`${(error as Error).message}\n`)
  process.exit(1)
}
