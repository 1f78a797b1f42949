// Readers of one job's log, a process of its own: so many of `jobLogs` over GraphQL, or one of StreamJobLogs at the coordinator. They look at no more than
// the numbers of the lines, so that they cost the machine little.
import { credentials, Metadata } from '@grpc/grpc-js'
import WebSocket from 'ws'
import { scaimindV1 } from '../../dist/contract/proto.js'
import { answerParent } from './answer-parent.mjs'
import { lineCheck, numbersReader } from './line-check.mjs'

const query = `subscription ($id: ID!) {
  jobLogs(jobId: $id) {
    ... on LogBatch { cursor records { time rank level text } }
    ... on StreamGap { cursor reason }
    ... on StreamEnd { status }
  }
}`
const read = numbersReader()
const readers = []

/** One reader: what it got, and how it ended. */
function newReader(last) {
  const reader = { check: lineCheck(last), end: null, gaps: 0, begun: () => {}, over: () => {} }
  reader.hasBegun = new Promise((resolve) => {
    reader.begun = resolve
  })
  reader.isOver = new Promise((resolve) => {
    reader.over = resolve
  })
  readers.push(reader)
  return reader
}

function take(reader, bytes) {
  const numbers = read(bytes)
  if (numbers.length === 0) return false
  reader.check.take(numbers)
  reader.begun()
  return true
}

function readGraphql(reader, { port, key, jobId }) {
  const socket = new WebSocket(`ws://127.0.0.1:${port}/graphql`, 'graphql-transport-ws', {
    skipUTF8Validation: true,
    perMessageDeflate: false,
  })
  const send = (message) => socket.send(JSON.stringify(message))
  socket.on('open', () => send({ type: 'connection_init', payload: { authorization: `Bearer ${key}` } }))
  socket.on('message', (bytes) => {
    if (take(reader, bytes)) return
    const { type, payload } = JSON.parse(bytes)
    if (type === 'connection_ack') send({ type: 'subscribe', id: '1', payload: { query, variables: { id: jobId } } })
    else if (type === 'ping') send({ type: 'pong' })
    else if (type === 'complete') socket.close(1000)
    else if (payload?.data?.jobLogs?.status) reader.end = payload.data.jobLogs.status
    else if (payload?.data?.jobLogs?.reason) reader.gaps++
    else if (type === 'error' || payload?.errors) process.stderr.write(`${bytes.toString().slice(0, 500)}\n`)
  })
  socket.on('error', (error) => process.stderr.write(`A reader: ${error}\n`))
  socket.on('close', reader.over)
}

function readGrpc(reader, { port, secret, tenant, jobId }) {
  const client = new scaimindV1.CoordinatorService(`127.0.0.1:${port}`, credentials.createInsecure())
  const { path, requestSerialize, responseDeserialize } = scaimindV1.CoordinatorService.service.StreamJobLogs
  const metadata = new Metadata()
  metadata.set('x-api-secret', secret)
  metadata.set('x-tenant-id', tenant)
  const call = client.makeServerStreamRequest(path, requestSerialize, (bytes) => bytes, { job_id: jobId }, metadata)
  call.on('data', (bytes) => {
    if (take(reader, bytes)) return
    const { end, gap } = responseDeserialize(bytes)
    if (end) reader.end = end.status
    else if (gap) reader.gaps++
  })
  call.on('error', (error) => process.stderr.write(`The reader of gRPC: ${error}\n`))
  call.on('close', () => {
    client.close()
    reader.over()
  })
}

answerParent({
  /** Answers when every reader has the first line. */
  async begin({ kind, count, last, ...place }) {
    for (let index = 0; index < count; index++) (kind === 'grpc' ? readGrpc : readGraphql)(newReader(last), place)
    await Promise.all(readers.map(({ hasBegun }) => hasBegun))
    return {}
  },
  /** Answers when every stream is over. */
  async end() {
    await Promise.all(readers.map(({ isOver }) => isOver))
    return {}
  },
  async figures({ printed }) {
    return { readers: readers.map(({ check, end, gaps }) => ({ ...check.figures(printed), end, gaps })) }
  },
})
