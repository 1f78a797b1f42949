// graphql-ws as it comes: each reader's subscription is executed on its own for each event.
import { createServer } from 'node:http'
import { buildSchema, execute, subscribe } from 'graphql'
import { useServer } from 'graphql-ws/use/ws'
import { WebSocketServer } from 'ws'

const schema = buildSchema(`
  type Query { ok: Boolean }
  type MetricValue { name: String! value: Float }
  type MetricRecord { cursor: String! step: Int! epoch: Float! time: String! values: [MetricValue!]! }
  type MetricBatch { cursor: String! records: [MetricRecord!]! }
  type StreamGap { cursor: String! reason: String! }
  type StreamEnd { cursor: String! status: String! }
  union MetricEvent = MetricBatch | StreamGap | StreamEnd
  type Subscription { jobMetrics(jobId: ID!, after: String): MetricEvent! }
`)
const readers = new Set()
async function* follow() {
  const waiting = []
  let wake = () => {}
  const reader = (event) => {
    waiting.push(event)
    wake()
  }
  readers.add(reader)
  try {
    for (;;) {
      while (waiting.length > 0) yield { jobMetrics: waiting.shift() }
      await new Promise((resolve) => {
        wake = resolve
      })
    }
  } finally {
    readers.delete(reader)
  }
}
const server = createServer()
const sockets = new WebSocketServer({ server, perMessageDeflate: false })
useServer({ schema, execute, subscribe, roots: { subscription: { jobMetrics: follow } } }, sockets)

let timer
process.on('message', ({ start }) => {
  clearInterval(timer)
  if (!start) return
  let step = start.first
  timer = setInterval(() => {
    const cursor = `cursor-of-a-record-${step}-which-is-as-long-as-ours-is`
    const values = [
      { name: 'loss', value: 5 / step },
      { name: 'learning_rate', value: 0.0003 },
      { name: 'grad_norm', value: 1.25 },
      { name: 'tokens_per_second', value: 51_200 },
    ]
    const records = [{ cursor, step: step++, epoch: step / 1000, time: new Date().toISOString(), values }]
    for (const tell of readers) tell({ __typename: 'MetricBatch', cursor, records })
  }, 1000 / start.perSecond)
})
process.on('SIGTERM', () => process.exit(0))
server.listen(0, '127.0.0.1', () => process.send({ port: server.address().port }))
