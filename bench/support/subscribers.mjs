// Many subscribers, a process of their own: they count what they get, look whether each step comes once and in order, and how old it is.
import WebSocket from 'ws'
import { answerParent } from './answer-parent.mjs'

/** Readers by group, and what they found since they were last asked. */
const groups = new Map()
const histogramMs = 20_000

answerParent({
  open: ({ options }) => connectAll(options),
  collect: async ({ group }) => found(groups.get(group)),
  close: async ({ group }) => closeAll(groups.get(group)),
})
process.on('disconnect', () => process.exit(0))

/** Opens so many readers; where there is a `query`, by graphql-ws. `idle` readers stop reading once they are subscribed. A message has `stride` steps; a connection subscribes `charts` times. */
async function connectAll({
  group,
  port,
  path = '/graphql',
  count,
  authorization,
  query,
  jobs = [null],
  idle = 0,
  stride = 1,
  charts = 1,
  after = null,
}) {
  const made = { sockets: [], delays: new Uint32Array(histogramMs), received: 0, lost: 0, repeated: 0, other: [], sample: '', sizes: 0 }
  groups.set(group, made)
  for (let at = 0; at < count; at += 200) {
    const some = Array.from({ length: Math.min(200, count - at) }, (_, index) => {
      const job = jobs[(at + index) % jobs.length]
      return connectOne(made, {
        url: `ws://127.0.0.1:${port}${path}${query || !job ? '' : `?room=${job}`}`,
        authorization,
        query,
        job,
        stride,
        charts,
        after,
        isIdle: at + index < idle,
      })
    })
    await Promise.all(some)
  }
}

function connectOne(group, { url, authorization, query, job, stride, charts, after, isIdle }) {
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(url, query ? 'graphql-transport-ws' : undefined, { perMessageDeflate: false, skipUTF8Validation: true })
    let last = 0
    group.sockets.push(socket)
    socket.once('error', reject)
    socket.on('close', (code) => group.other.push(`closed with ${code}`))
    socket.on('open', () => {
      if (!query) resolve()
      else socket.send(JSON.stringify({ type: 'connection_init', payload: { authorization } }))
    })
    socket.on('message', (data) => {
      const place = data.indexOf('"step":')
      if (place < 0) return control(data)
      const step = numberAt(data, place + 7)
      // Of several subscriptions on one connection each tells the same.
      if (charts === 1 && last > 0 && step !== last + stride) {
        if (step > last) group.lost += step - last - stride
        else group.repeated++
      }
      last = step
      group.received++
      group.sizes += data.length
      if (!group.sample) group.sample = data.toString()
      const delay = Date.now() - timeOf(data)
      group.delays[Math.max(0, Math.min(histogramMs - 1, delay))]++
    })
    function control(data) {
      const { type, payload } = JSON.parse(data)
      if (type === 'connection_ack') {
        for (let chart = 0; chart < charts; chart++) {
          socket.send(JSON.stringify({ id: crypto.randomUUID(), type: 'subscribe', payload: { query, variables: { id: job, after } } }))
        }
        if (isIdle) setTimeout(() => socket.pause(), 200)
        resolve()
      } else if (type === 'ping') socket.send('{"type":"pong"}')
      else group.other.push(`${type} ${JSON.stringify(payload)}`.slice(0, 300))
    }
  })
}

function numberAt(data, from) {
  let number = 0
  for (let at = from; data[at] >= 48 && data[at] <= 57; at++) number = number * 10 + data[at] - 48
  return number
}

// All readers of an event get the same time.
let lastText = ''
let lastTime = 0
function timeOf(data) {
  const at = data.indexOf('"time":"')
  const text = data.latin1Slice(at + 8, at + 32)
  if (text !== lastText) {
    lastText = text
    lastTime = Date.parse(text)
  }
  return lastTime
}

function found(group) {
  const { delays, received, lost, repeated, other, sample, sizes } = group
  const answer = {
    delays: [...delays].flatMap((count, ms) => (count ? [[ms, count]] : [])),
    received,
    lost,
    repeated,
    other: other.slice(0, 5),
    sample,
    bytes: sizes,
  }
  Object.assign(group, { delays: new Uint32Array(histogramMs), received: 0, lost: 0, repeated: 0, other: [], sizes: 0 })
  return answer
}

function closeAll(group) {
  for (const socket of group?.sockets ?? []) {
    socket.removeAllListeners('close')
    socket.terminate()
  }
}
