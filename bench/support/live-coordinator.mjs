import { Server, ServerCredentials } from '@grpc/grpc-js'
import { formatCursor, parseCursor } from '../../dist/contract/cursor.js'
import { scaimindV1, toTimestamp } from '../../dist/contract/proto.js'

/** A coordinator that knows jobs by their ids only and tells their metrics, at a pace that is switched on and off. */
export async function startLiveCoordinator({ tenant, recordsPerMessage = 1 }) {
  /** Streams and messages by job. */
  const jobs = new Map()
  const jobOf = (id) => {
    const known = jobs.get(id) ?? { streams: new Set(), messages: [], count: 0 }
    jobs.set(id, known)
    return known
  }
  let timers = []
  const server = new Server()
  const missing = (_call, callback) => callback({ code: 12, details: 'This coordinator only tells metrics.' })
  const methods = Object.fromEntries(Object.keys(scaimindV1.CoordinatorService.service).map((name) => [name, missing]))
  methods.GetJob = ({ request }, callback) =>
    callback(null, {
      job_id: request.job_id,
      tenant_id: tenant,
      revision: '1',
      status: 'TRAINING',
      name: 'live',
      created_at: toTimestamp(new Date()),
    })
  methods.ListJobs = (_call, callback) =>
    callback(null, { jobs: [], snapshot_cursor: formatCursor({ kind: 'events', topic: '*', attempt: 0, sequence: 0 }) })
  methods.StreamJobEvents = () => {}
  methods.StreamJobMetrics = (stream) => {
    const { job_id: id, after } = stream.request
    const { streams, messages } = jobOf(id)
    const from = after ? (parseCursor(after, 'metrics', id).sequence + 1) / recordsPerMessage : 0
    for (const message of messages.slice(from)) stream.write(message)
    streams.add(stream)
    stream.on('cancelled', () => streams.delete(stream))
  }
  server.addService(scaimindV1.CoordinatorService.service, methods)
  const bound = await new Promise((done, fail) =>
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, at) => (error ? fail(error) : done(at))),
  )

  function recordOf(id, sequence) {
    return {
      cursor: formatCursor({ kind: 'metrics', topic: id, attempt: 1, sequence }),
      step: String(sequence + 1),
      epoch: sequence / 1000,
      time: toTimestamp(new Date()),
      attempt: 1,
      values: { loss: 5 / (sequence + 1), learning_rate: 0.0003, grad_norm: 1.25, tokens_per_second: 51_200 },
    }
  }

  function tell(id) {
    const job = jobOf(id)
    const records = Array.from({ length: recordsPerMessage }, () => recordOf(id, job.count++))
    const message = { cursor: records.at(-1).cursor, batch: { records } }
    job.messages.push(message)
    for (const stream of job.streams) stream.write(message)
  }

  return {
    port: bound,
    tell,
    /** Tells each of the jobs so often a second, spread over the time. */
    start(ids, perSecond) {
      ids.forEach((id, index) => {
        const everyMs = 1000 / perSecond
        timers.push(
          setTimeout(
            () => {
              tell(id)
              timers.push(setInterval(() => tell(id), everyMs))
            },
            (index * everyMs) / ids.length,
          ),
        )
      })
    },
    pause() {
      for (const timer of timers) clearTimeout(timer)
      timers = []
    },
    /** The cursor of the newest record of a job; null before the first. */
    head: (id) => jobOf(id).messages.at(-1)?.cursor ?? null,
    stop: () => server.forceShutdown(),
  }
}
