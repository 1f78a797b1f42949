import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, openSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { type LauncherRecord, readExit, readLauncher, sealFolder, unsealFolder } from '../attempt-folder.js'
import type { AttemptOrder } from '../engine.js'
import { writeLaunchOrder } from '../launch-order.js'
import { starterWords } from '../starter.js'
import { isRunning } from './processes.js'

/** How launchers are started. */
export interface LaunchSettings {
  nodeBinary: string
  launcherPath: string
  /** Where the launcher finds the program that tells of GPUs. */
  searchPath: string
}

/** Longest wait for a launcher to claim its folder; on a machine that is very busy a start takes seconds. */
const claimMs = 60_000

/**
 * Starts the attempt's launcher and waits until it has its trainer. The order is on disk before anything starts. Where another launcher has
 * the folder, that one is answered and nothing is started.
 */
export async function launch(order: AttemptOrder, { nodeBinary, launcherPath, searchPath }: LaunchSettings): Promise<LauncherRecord> {
  const { directory } = order
  await unsealFolder(directory)
  await writeLocalOrder(order)
  const log = openSync(join(directory, 'launcher.log'), 'a', 0o600)
  const masterPort = String(await freePort())
  const address = { nodeRank: '0', masterAddress: '127.0.0.1', masterPort }
  const gpusPerNode = order.placement[0]?.gpuIndexes.length ?? 0
  const { framework, processesPerNode = 1, wrapper = [] } = order
  const starter = [...wrapper, ...starterWords({ framework, nodes: 1, gpusPerNode, processesPerNode, address })]
  const words = starter.length > 0 ? ['--with', ...starter] : []
  const launcher = spawn(nodeBinary, [launcherPath, directory, ...words], {
    cwd: directory,
    // A session of its own: it outlives the coordinator, and a Ctrl-C in the coordinator's terminal does not reach it.
    detached: true,
    stdio: ['ignore', log, log],
    env: {
      PATH: [searchPath, '/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin'].filter(Boolean).join(':'),
      MASTER_ADDR: address.masterAddress,
      MASTER_PORT: masterPort,
    },
  })
  closeSync(log)
  launcher.unref()
  const settled = new AbortController()
  try {
    const record = await Promise.race([untilClaimed(directory, settled.signal), failedStart(launcher, directory)])
    return await untilTrainer(directory, record)
  } finally {
    settled.abort()
  }
}

/** Waits for the moment between a claim and its trainer to pass. Answers the record without a trainer where its launcher died in that moment. */
export async function untilTrainer(directory: string, record: LauncherRecord): Promise<LauncherRecord> {
  for (let current = record; ; await delay(10)) {
    if (current.trainer) return current
    const isOver =
      (await readExit(directory)) !== null || !isRunning({ pid: current.pid, startTime: current.start_time, bootId: current.boot_id })
    // Read after the look at its end: what it recorded before is there then.
    const next = await readLauncher(directory)
    if (next && next !== 'sealed') current = next
    if (isOver) return current
  }
}

async function untilClaimed(directory: string, settled: AbortSignal): Promise<LauncherRecord> {
  for (const end = Date.now() + claimMs; Date.now() < end; await delay(10)) {
    const record = await readLauncher(directory)
    if (record && record !== 'sealed') return record
    settled.throwIfAborted()
  }
  await sealFolder(directory)
  const record = await readLauncher(directory)
  if (record && record !== 'sealed') return record
  throw new Error(`The launcher in ${directory} did not start within ${claimMs / 1000} s.`)
}

async function failedStart(launcher: ChildProcess, directory: string): Promise<LauncherRecord> {
  // Rejects with the reason where the program cannot be started at all.
  await once(launcher, 'exit')
  const record = await readLauncher(directory)
  if (record && record !== 'sealed') return record
  const log = await readFile(join(directory, 'launcher.log'), 'utf8')
  throw new Error(`The launcher in ${directory} ended before it began: ${log.trim().slice(-500)}`)
}

/** For workers to meet at. The launcher would find one too, but a starter is told it by its words. */
async function freePort(): Promise<number> {
  const server = createServer()
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const address = server.address()
  server.close()
  return typeof address === 'object' && address ? address.port : 0
}

async function writeLocalOrder(order: AttemptOrder): Promise<void> {
  const [place, ...others] = order.placement
  if (!place || others.length > 0) throw new Error(`This engine has one node; ${order.jobId} was placed on ${order.placement.length}.`)
  const { gpuIndexes, cpus } = place
  await writeLaunchOrder(order, cpus, {
    // nvidia-smi counts by bus; CUDA by speed, unless told. HIP takes CUDA's variable for its own.
    ...(gpuIndexes.length > 0 ? { CUDA_DEVICE_ORDER: 'PCI_BUS_ID' } : {}),
    CUDA_VISIBLE_DEVICES: gpuIndexes.join(','),
  })
}
