import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import type { LauncherRecord } from './claim.js'
import { bootId, signalGroup, startTimeOf } from './processes.js'

/** For a launcher that is still on its way. */
const waitMs = 30_000

/**
 * Passes a request on to the launcher of this node: `node request.js FOLDER --rank R --request checkpoint|stop|kill`. `checkpoint` and `stop` are the launcher's own
 * signals; `kill` kills the trainer, whose end the launcher then writes. It waits half a minute for a launcher that is still on its way, and does nothing where the
 * launcher has ended.
 */
async function passOn(directory: string, rank: number, request: string): Promise<void> {
  const path = join(directory, rank === 0 ? 'launcher.json' : `launcher.${rank}.json`)
  for (const end = Date.now() + waitMs; Date.now() < end; await delay(100)) {
    const record = readRecord(path)
    if (!record) continue
    if (record.boot_id !== bootId() || startTimeOf(record.pid) !== record.start_time) return
    if (request === 'checkpoint') return void process.kill(record.pid, 'SIGUSR1')
    if (request === 'stop') return void process.kill(record.pid, 'SIGTERM')
    if (record.trainer) return signalGroup(record.trainer.pid, 'SIGKILL')
  }
}

function readRecord(path: string): LauncherRecord | null {
  try {
    return JSON.parse(readFileSync(path, 'utf8')) as LauncherRecord
  } catch {
    // Not there yet.
    return null
  }
}

try {
  const { values, positionals } = parseArgs({ allowPositionals: true, options: { rank: { type: 'string' }, request: { type: 'string' } } })
  const [directory] = positionals
  const { rank, request } = values
  if (!directory || !request || !['checkpoint', 'stop', 'kill'].includes(request)) throw new Error('give a folder and a request')
  await passOn(directory, Number(rank ?? 0), request)
} catch (error) {
  process.stderr.write(`${(error as Error).message}\n`)
  process.exitCode = 1
}
