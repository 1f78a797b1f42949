// The load generator, a process of its own: keeps so many connections busy for a time, each with the next request as soon as the last is answered.
import { connect } from 'node:net'

process.on('message', async ({ id, port, requests, connections, durationMs, expect }) => {
  const frames = requests.map(({ path = '/graphql', headers = {}, body }) => {
    const head = { host: `127.0.0.1:${port}`, 'content-type': 'application/json', accept: 'application/json', ...headers }
    const lines = Object.entries({ ...head, 'content-length': Buffer.byteLength(body) }).map(([name, value]) => `${name}: ${value}\r\n`)
    return Buffer.from(`POST ${path} HTTP/1.1\r\n${lines.join('')}\r\n${body}`)
  })
  const start = performance.now()
  const end = start + durationMs
  const latencies = []
  let turn = 0
  let wrong = null
  const client = () =>
    new Promise((done, fail) => {
      const socket = connect(port, '127.0.0.1').setNoDelay(true)
      let sent = 0
      let pending = Buffer.alloc(0)
      const next = () => {
        sent = performance.now()
        if (sent >= end) return void socket.end()
        socket.write(frames[turn++ % frames.length])
      }
      socket.on('connect', next).on('error', fail).on('close', done)
      socket.on('data', (chunk) => {
        pending = pending.length === 0 ? chunk : Buffer.concat([pending, chunk])
        const body = bodyOf(pending)
        if (body === undefined) return
        if (wrong === null && (!pending.subarray(0, 15).includes(' 200 ') || !body.includes(expect)))
          wrong = pending.toString().slice(0, 2000)
        pending = Buffer.alloc(0)
        latencies.push(performance.now() - sent)
        next()
      })
    })
  try {
    await Promise.all(Array.from({ length: connections }, client))
    if (wrong !== null) throw new Error(`An answer is not what was asked for:\n${wrong}`)
    latencies.sort((a, b) => a - b)
    const seconds = (performance.now() - start) / 1000
    process.send({
      id,
      count: latencies.length,
      perSecond: latencies.length / seconds,
      p50: latencies[latencies.length >> 1],
      p99: latencies[Math.floor(latencies.length * 0.99)],
    })
  } catch (error) {
    process.send({ id, error: String(error) })
  }
})

/** The body of an answer that is there whole. */
function bodyOf(data) {
  const split = data.indexOf('\r\n\r\n')
  if (split < 0) return undefined
  const head = data.toString('latin1', 0, split).toLowerCase()
  const length = /content-length: (\d+)/.exec(head)?.[1]
  const body = data.subarray(split + 4)
  if (length !== undefined) return body.length >= Number(length) ? body : undefined
  return body.subarray(-5).toString('latin1') === '0\r\n\r\n' ? body : undefined
}
