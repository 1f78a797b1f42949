import { setTimeout as sleep } from 'node:timers/promises'
import { query } from './fanout.mjs'
import { median, rounded } from './support/figures.mjs'
import { prepare } from './support/packages.mjs'
import { quantile, residentBytes } from './support/readers.mjs'

const readerCount = 1000
const idleCount = 100
const rounds = 3
const roundMs = Number(process.env.BENCH_SLICE_MS ?? 15_000)
// The hundred have a page of charts open each, so that what the system itself holds for a reader is full within seconds.
const recordsPerMessage = 5
const charts = 20
const perSecond = 10
const stuckSeconds = 5

/** A thousand readers of one job's metrics, by turns with a hundred among them who read as the others do and who never read. */
export async function measure() {
  prepare()
  const { liveStack } = await import('./support/live-stack.mjs')
  const { newJobId } = await import('../dist/contract/ids.js')
  const { authorization, coordinator, readers, api: startApi, stop } = await liveStack({ recordsPerMessage })
  try {
    const api = await startApi({ SCAIMIND_STUCK_READER_S: String(stuckSeconds) })
    const jobs = [newJobId()]
    const group = { port: api.port, authorization, query, jobs, stride: recordsPerMessage }
    const peak = { memory: 0, waiting: 0 }
    const look = async () => {
      peak.memory = Math.max(peak.memory, residentBytes(api.pid))
      const metrics = await readMetrics(api.port)
      peak.waiting = Math.max(peak.waiting, metrics.scaimind_live_waiting_bytes)
      return metrics
    }

    await readers.open({ ...group, group: 'others', count: readerCount - idleCount })
    const found = { reading: [], idle: [] }
    let [lost, repeated] = [0, 0]
    async function round(kind, idle) {
      await readers.open({ ...group, group: kind, count: idleCount, idle, charts, after: coordinator.head(jobs[0]) })
      coordinator.start(jobs, perSecond)
      await sleep(2000)
      await readers.collect('others')
      for (const end = Date.now() + roundMs; Date.now() < end; await sleep(250)) await look()
      const others = await readers.collect('others')
      coordinator.pause()
      await sleep(500)
      lost += others.lost
      repeated += others.repeated
      found[kind].push(quantile(others.delays, 0.99))
      await readers.close(kind)
      await sleep(500)
      await readers.collect('others')
    }
    const start = residentBytes(api.pid)
    for (let turn = 1; turn <= rounds; turn++) {
      process.stderr.write(`Round ${turn} of ${rounds} …\n`)
      await round('reading', 0)
      await round('idle', idleCount)
    }
    const { scaimind_live_readers_given_up_total: givenUp, scaimind_live_thinned_records_total: thinned } = await look()
    return {
      p99_change: rounded(median(found.idle.map((p99, turn) => p99 / found.reading[turn] - 1))),
      peak_bytes: peak.memory,
      start_bytes: start,
      peak_waiting_bytes: peak.waiting,
      lost,
      repeated,
      given_up: givenUp,
      thinned_records: thinned,
      p99_reading_ms: median(found.reading),
      p99_idle_ms: median(found.idle),
    }
  } finally {
    await stop()
  }
}

/** What the API tells Prometheus, by name; a name with several labels once for all of them. */
async function readMetrics(port) {
  const text = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text()
  const figures = {}
  for (const [, name, value] of text.matchAll(/^(scaimind_\w+)(?:\{.*\})? (\S+)$/gm)) figures[name] = (figures[name] ?? 0) + Number(value)
  return figures
}
