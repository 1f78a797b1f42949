import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { cpuMs, peakMemoryMb, rounded, setting } from './support/figures.mjs'
import { digits, numbered } from './support/line-check.mjs'
import { prepare } from './support/packages.mjs'

/** One job that prints as fast as asked, on the real stack, to readers of `jobLogs` and one reader at the coordinator itself; every line of every reader is checked. */
export async function measure() {
  const linesPerSecond = setting('BENCH_LINES_PER_SECOND', 50_000)
  const seconds = setting('BENCH_SECONDS', 20)
  const count = setting('BENCH_READERS', 20)
  const last = linesPerSecond * seconds
  prepare()
  const { realStack } = await import('./support/real-stack.mjs')
  const { submitScript } = await import('./support/script-job.mjs')
  const { startReaders } = await import('./support/processes.mjs')
  const stack = await realStack({ SCAIMIND_ALLOW_CUSTOM_CODE: 'true' })
  const graphql = startReaders('log-readers.mjs')
  const grpc = startReaders('log-readers.mjs')
  try {
    const { jobId, start } = await submitScript(stack, printer({ linesPerSecond, last, secondsMax: seconds * 3 }))
    const { api, coordinator, key, secret, tenant } = stack
    const begin = { type: 'begin', jobId, last }
    await grpc.ask({ ...begin, kind: 'grpc', count: 1, port: coordinator.port, secret, tenant }, { withinMs: 60_000 })
    await graphql.ask({ ...begin, kind: 'graphql', count, port: api.port, key }, { withinMs: 60_000 })

    const attempt = stack.attemptFolder(jobId)
    const launcher = JSON.parse(readFileSync(join(attempt, 'launcher.json'), 'utf8'))
    const pids = { api: api.pid, coordinator: coordinator.pid, launcher: launcher.pid, job: launcher.trainer.pid, readers: graphql.pid }
    const cpu = () => Object.entries(pids).map(([name, pid]) => [name, cpuMs(pid)])
    const before = Object.fromEntries(cpu())
    process.stderr.write(`${count} readers; the job prints ${linesPerSecond} lines a second for ${seconds} s …\n`)
    start()
    // The last look at processes that end with the job.
    let latest = cpu()
    const looking = setInterval(() => {
      latest = cpu().map(([name, ms], index) => [name, ms || latest[index][1]])
    }, 500)
    const withinMs = (seconds * 3 + 60) * 1000
    const ending = await Promise.allSettled([graphql.ask({ type: 'end' }, { withinMs }), grpc.ask({ type: 'end' }, { withinMs })])
    clearInterval(looking)
    for (const { reason } of ending) if (reason) process.stderr.write(`${reason.message}\n`)

    const printed = JSON.parse(readFileSync(join(attempt, 'printed.json'), 'utf8'))
    const ask = { type: 'figures', printed: printed.lines }
    const { readers } = await graphql.ask(ask, { withinMs: 60_000 })
    const [direct] = (await grpc.ask(ask, { withinMs: 60_000 })).readers
    const sum = (name) => readers.reduce((total, reader) => total + reader[name], 0)
    const slowest = Math.min(...readers.map((reader) => reader.linesPerSecond))
    return {
      lost: sum('lost'),
      repeated: sum('repeated'),
      out_of_order: sum('outOfOrder'),
      gaps: sum('gaps'),
      ended: readers.filter(({ end }) => end === 'COMPLETED').length,
      readers: count,
      lines_per_second_slowest: Math.round(slowest),
      lines_per_second_grpc: Math.round(direct.linesPerSecond),
      ratio_to_grpc: rounded(slowest / direct.linesPerSecond, 3),
      grpc_faults: direct.lost + direct.repeated + direct.outOfOrder,
      lines_per_message: rounded(sum('lines') / sum('messages'), 1),
      lines_per_message_grpc: rounded(direct.lines / direct.messages, 1),
      asked_per_second: linesPerSecond,
      printed_per_second: Math.round(printed.lines / printed.seconds),
      printed: printed.lines,
      print_seconds: rounded(printed.seconds),
      last_line_ms: Math.max(...readers.map(({ lastAt }) => lastAt)) - printed.at,
      last_line_ms_grpc: direct.lastAt - printed.at,
      peak_rss_api_mb: Math.round(peakMemoryMb(api.pid)),
      peak_rss_coordinator_mb: Math.round(peakMemoryMb(coordinator.pid)),
      // Of processor time: what else the machine does weighs less on it than on the rest.
      ...Object.fromEntries(latest.map(([name, ms]) => [`us_per_line_${name}`, rounded(((ms - before[name]) / printed.lines) * 1000)])),
    }
  } finally {
    graphql.stop()
    grpc.stop()
    await stack.stop()
  }
}

/** Prints line 0, and when told so the others, in a burst every 10 ms; what the machine kept it from is made up for, in larger bursts. */
const printer = ({ linesPerSecond, last, secondsMax }) => `
const digits = ${digits}
const numbered = ${numbered}
const line = (number) => numbered(number) + ' step ' + number + ' of ${last}: loss 2.3025, learning rate 0.0003, 5150 tokens a second\\n'
process.stdout.write(line(0))
await untilTold()
const start = performance.now()
let printed = 0
let seconds = 0
while (printed < ${last} && seconds < ${secondsMax}) {
  const due = Math.min(${last}, Math.floor(seconds * ${linesPerSecond}), printed + ${Math.ceil(linesPerSecond / 10)})
  let burst = ''
  while (printed < due) burst += line(++printed)
  if (burst) process.stdout.write(burst)
  await sleep(10)
  seconds = (performance.now() - start) / 1000
}
writeFileSync('printed.json', JSON.stringify({ lines: printed, seconds, at: Date.now() }))
`
