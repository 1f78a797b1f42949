import { setTimeout as sleep } from 'node:timers/promises'
import { query } from './fanout.mjs'
import { cpuMs, rounded } from './support/figures.mjs'
import { prepare } from './support/packages.mjs'
import { quantile, residentBytes } from './support/readers.mjs'

const steps = (process.env.BENCH_STEPS ?? '1000,2500,5000,10000').split(',').map(Number)
const sliceMs = 10_000

/** What one process of the API holds: memory and processor time by the number of subscribers, at one event a second, and how fast they all come back. */
export async function measure() {
  prepare()
  const { liveStack } = await import('./support/live-stack.mjs')
  const { newJobId } = await import('../dist/contract/ids.js')
  const { authorization, coordinator, readers, api: startApi, stop } = await liveStack()
  try {
    const api = await startApi()
    const jobs = [newJobId()]
    const open = (group, count) => readers.open({ group, port: api.port, count, authorization, query, jobs })
    const found = []
    let connected = 0
    let [lost, repeated] = [0, 0]
    for (const count of steps) {
      process.stderr.write(`${count} subscribers …\n`)
      const began = performance.now()
      await open(`up to ${count}`, count - connected)
      const connectPerSecond = ((count - connected) * 1000) / (performance.now() - began)
      connected = count
      coordinator.start(jobs, 1)
      await sleep(2000)
      const groups = steps.filter((step) => step <= count).map((step) => `up to ${step}`)
      for (const group of groups) await readers.collect(group)
      const cpu = cpuMs(api.pid)
      await sleep(sliceMs)
      const used = cpuMs(api.pid) - cpu
      const told = await Promise.all(groups.map((group) => readers.collect(group)))
      coordinator.pause()
      const received = told.reduce((sum, one) => sum + one.received, 0)
      lost += told.reduce((sum, one) => sum + one.lost, 0)
      repeated += told.reduce((sum, one) => sum + one.repeated, 0)
      const p99 = quantile(
        told.flatMap(({ delays }) => delays),
        0.99,
      )
      found.push({ count, bytes: residentBytes(api.pid), cpuShare: used / sliceMs, received, cpuMs: used, p99, connectPerSecond })
    }
    const [first, last] = [found[0], found.at(-1)]
    return {
      subscribers: last.count,
      bytes_a_subscriber: Math.round((last.bytes - first.bytes) / (last.count - first.count)),
      cpu_ms_a_thousand_messages: rounded(((last.cpuMs - first.cpuMs) / (last.received - first.received)) * 1000),
      connections_per_second: Math.round(last.connectPerSecond),
      lost,
      repeated,
      ...Object.fromEntries(
        found.flatMap(({ count, bytes, cpuShare, p99 }) => [
          [`at_${count}_mb`, Math.round(bytes / 1e6)],
          [`at_${count}_cpu`, rounded(cpuShare, 3)],
          [`at_${count}_p99_ms`, p99],
        ]),
      ),
    }
  } finally {
    await stop()
  }
}
