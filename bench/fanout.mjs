import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { cpuMs, median, rounded } from './support/figures.mjs'
import { prepare } from './support/packages.mjs'
import { quantile, residentBytes } from './support/readers.mjs'

const readerCount = Number(process.env.BENCH_READERS ?? 5000)
const perSecond = 10
const slices = 3
const sliceMs = Number(process.env.BENCH_SLICE_MS ?? 10_000)
const topicCount = 100

export const query = `subscription Metrics($id: ID!, $after: String) {
  jobMetrics(jobId: $id, after: $after) {
    __typename
    ... on MetricBatch { cursor records { cursor step epoch time values { name value } } }
    ... on StreamGap { cursor reason }
    ... on StreamEnd { cursor status }
  }
}`

/** One job's metrics to thousands of subscribers, by us, by `ws` alone and by graphql-ws as it comes; then a hundred jobs with fifty each. */
export async function measure() {
  prepare()
  const { liveStack } = await import('./support/live-stack.mjs')
  const { startServer } = await import('./support/processes.mjs')
  const { newJobId } = await import('../dist/contract/ids.js')
  const { authorization, coordinator, readers, api, keep, stop } = await liveStack()
  const peer = async (name) => keep(await startServer(join(import.meta.dirname, `peers/${name}.mjs`)))
  try {
    /** How a server is made to tell each of its rooms so often a second. */
    const ours = (process, jobs) => ({
      pid: process.pid,
      start: () => coordinator.start(jobs, perSecond),
      pause: () => coordinator.pause(),
    })
    const theirs = (process, template) => {
      let first = 1
      return {
        pid: process.pid,
        start() {
          process.process.send({ start: { template: template(), perSecond, first } })
          // Where the steps of the next slice begin does not matter.
          first += 1_000_000
        },
        pause: () => process.process.send({ pause: true }),
      }
    }

    async function slice(name, { pid, start, pause }) {
      await readers.collect(name)
      start()
      // The first events find everything cold.
      await sleep(1000)
      const { sample } = await readers.collect(name)
      const cpu = cpuMs(pid)
      const began = performance.now()
      await sleep(sliceMs)
      const used = cpuMs(pid) - cpu
      const found = await readers.collect(name)
      const seconds = (performance.now() - began) / 1000
      pause()
      await sleep(1500)
      const rest = await readers.collect(name)
      if (found.other.length > 0) process.stderr.write(`${name}: ${found.other.join('; ')}\n`)
      return {
        ...found,
        sample,
        perCpuSecond: found.received / (used / 1000),
        perSecond: found.received / seconds,
        lost: found.lost + rest.lost,
        repeated: found.repeated + rest.repeated,
      }
    }

    async function contest({ jobs, count, lengthMs }) {
      const [api1, ws] = [await api(), await peer('ws-broadcast')]
      process.stderr.write(`${count} subscribers of ${jobs.length} ${jobs.length > 1 ? 'jobs' : 'job'} …\n`)
      const few = 100
      await readers.open({ group: 'few', port: api1.port, count: few, authorization, query, jobs })
      await readers.open({ group: 'few ws', port: ws.port, path: '/', count: few, jobs })
      coordinator.start(jobs, perSecond)
      await sleep(2000)
      coordinator.pause()
      const sample = (await readers.collect('few')).sample
      const before = { ours: residentBytes(api1.pid), ws: residentBytes(ws.pid) }
      await readers.open({ group: 'ours', port: api1.port, count: count - few, authorization, query, jobs })
      await readers.open({ group: 'ws', port: ws.port, path: '/', count: count - few, jobs })
      const rounds = { ours: [], ws: [] }
      const contestants = { ws: theirs(ws, () => sample), ours: ours(api1, jobs) }
      for (let round = 1; round <= slices; round++) {
        process.stderr.write(`Round ${round} of ${slices} …\n`)
        for (const [name, contestant] of Object.entries(contestants)) rounds[name].push(await slice(name, contestant, lengthMs))
      }
      const memory = {
        ours: (residentBytes(api1.pid) - before.ours) / (count - few),
        ws: (residentBytes(ws.pid) - before.ws) / (count - few),
      }
      for (const name of ['ours', 'ws', 'few', 'few ws']) await readers.close(name)
      await api1.stop()
      await ws.stop()
      return { rounds, memory, sample }
    }

    const one = await contest({ jobs: [newJobId()], count: readerCount })

    process.stderr.write('graphql-ws as it comes …\n')
    const graphqlWs = await peer('graphql-ws')
    await readers.open({ group: 'graphql-ws', port: graphqlWs.port, count: readerCount, query, jobs: ['x'] })
    const default1 = await slice(
      'graphql-ws',
      theirs(graphqlWs, () => ''),
    )
    await readers.close('graphql-ws')
    await graphqlWs.stop()

    const many = await contest({ jobs: Array.from({ length: topicCount }, newJobId), count: readerCount })

    const perCpu = ({ rounds }, name) => median(rounds[name].map(({ perCpuSecond }) => perCpuSecond))
    const p99 = ({ rounds }, name) =>
      quantile(
        rounds[name].flatMap(({ delays }) => delays),
        0.99,
      )
    const p50 = ({ rounds }, name) =>
      quantile(
        rounds[name].flatMap(({ delays }) => delays),
        0.5,
      )
    const sum = (name) => [one, many].flatMap(({ rounds }) => rounds.ours).reduce((total, found) => total + found[name], 0)
    // Of the same round, so that what else the machine does weighs on both.
    const ratio = ({ rounds }) => median(rounds.ours.map(({ perCpuSecond }, round) => perCpuSecond / rounds.ws[round].perCpuSecond))
    return {
      ratio_to_ws: rounded(ratio(one)),
      ratio_to_graphql_ws: rounded(perCpu(one, 'ours') / default1.perCpuSecond),
      p99_ratio_to_ws: rounded(p99(one, 'ours') / p99(one, 'ws')),
      memory_ratio_to_ws: rounded(one.memory.ours / one.memory.ws),
      lost: sum('lost'),
      repeated: sum('repeated'),
      many_topics_ratio_to_ws: rounded(ratio(many)),
      subscribers: readerCount,
      message_bytes: one.sample.length,
      ours_per_cpu_second: Math.round(perCpu(one, 'ours')),
      ws_per_cpu_second: Math.round(perCpu(one, 'ws')),
      graphql_ws_per_cpu_second: Math.round(default1.perCpuSecond),
      many_ours_per_cpu_second: Math.round(perCpu(many, 'ours')),
      many_ws_per_cpu_second: Math.round(perCpu(many, 'ws')),
      ours_per_second: Math.round(median(one.rounds.ours.map((found) => found.perSecond))),
      ws_per_second: Math.round(median(one.rounds.ws.map((found) => found.perSecond))),
      ours_p50_ms: p50(one, 'ours'),
      ws_p50_ms: p50(one, 'ws'),
      ours_p99_ms: p99(one, 'ours'),
      ws_p99_ms: p99(one, 'ws'),
      many_ours_p99_ms: p99(many, 'ours'),
      many_ws_p99_ms: p99(many, 'ws'),
      ours_bytes_a_subscriber: Math.round(one.memory.ours),
      ws_bytes_a_subscriber: Math.round(one.memory.ws),
    }
  } finally {
    await stop()
  }
}
