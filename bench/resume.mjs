import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { median, setting } from './support/figures.mjs'
import { prepare } from './support/packages.mjs'

const recordsPerSecond = 20

/** Kills the API and the coordinator again and again under many subscribers of a job that runs on; every subscriber must end up with every record once. */
export async function measure() {
  const seconds = setting('BENCH_SECONDS', 120)
  const count = setting('BENCH_SUBSCRIBERS', 200)
  const killsEach = setting('BENCH_KILLS', 10)
  // The job goes on after the last kill, so that one is measured, too.
  const last = (seconds + 20) * recordsPerSecond
  prepare()
  const { realStack } = await import('./support/real-stack.mjs')
  const { submitScript } = await import('./support/script-job.mjs')
  const { startReaders } = await import('./support/processes.mjs')
  const stack = await realStack({ SCAIMIND_ALLOW_CUSTOM_CODE: 'true' })
  const readers = startReaders('metric-subscribers.mjs')
  const stop = new AbortController()
  let killing = []
  try {
    const { jobId, start } = await submitScript(stack, printer(last))
    const { api, key } = stack
    await readers.ask({ type: 'begin', jobId, last, count, port: api.port, key }, { withinMs: 60_000 })
    process.stderr.write(`${count} subscribers; ${killsEach} kills of each server in ${seconds} s …\n`)
    start()
    const plan = { stack, count: killsEach, withinMs: seconds * 1000, signal: stop.signal }
    killing = ['api', 'coordinator'].map((name) => killAtRandom(name, plan))
    const kills = (await Promise.all(killing)).flat()
    await readers.ask({ type: 'end' }, { withinMs: 90_000 }).catch(({ message }) => process.stderr.write(`${message}\n`))
    const printed = JSON.parse(readFileSync(join(stack.attemptFolder(jobId), 'printed.json'), 'utf8'))
    const figures = await readers.ask({ type: 'figures', printed: printed.steps, kills }, { withinMs: 60_000 })
    const of = (name) => kills.filter((kill) => kill.name === name)
    return {
      ...figures,
      records: printed.steps,
      subscribers: count,
      kills_api: of('api').length,
      kills_coordinator: of('coordinator').length,
      median_ms_start_api: median(of('api').map(({ startMs }) => startMs)),
      median_ms_start_coordinator: median(of('coordinator').map(({ startMs }) => startMs)),
    }
  } finally {
    stop.abort()
    // A server that is being started is only then known to the stack.
    await Promise.allSettled(killing)
    readers.stop()
    await stack.stop()
  }
}

/** Kills a server at a random moment in each of equal parts of the time, and starts it again at once; one that is not up yet at its moment is killed when it is. */
async function killAtRandom(name, { stack, count, withinMs, signal }) {
  const begun = Date.now()
  const moments = Array.from({ length: count }, (_, part) => begun + ((part + Math.random()) / count) * withinMs)
  const kills = []
  for (const moment of moments) {
    await sleep(Math.max(0, moment - Date.now()), undefined, { signal })
    const at = Date.now()
    await stack.killAndStart(name)
    kills.push({ name, at, startMs: Date.now() - at })
    process.stderr.write(`  ${Math.round((at - begun) / 1000)} s: ${name} was killed, and was back after ${Date.now() - at} ms\n`)
  }
  return kills
}

/** Prints step 0, and when told so the others, by the clock: what the machine kept it from comes late, not never. */
const printer = (last) => `
const print = (step) => process.stdout.write(JSON.stringify({ loss: 1 / (step + 1), step }) + '\\n')
print(0)
await untilTold()
const start = Date.now()
for (let step = 1; step <= ${last}; step++) {
  await sleep(Math.max(0, start + step * ${1000 / recordsPerSecond} - Date.now()))
  print(step)
}
writeFileSync('printed.json', JSON.stringify({ steps: ${last} }))
`
