import { Server, ServerCredentials } from '@grpc/grpc-js'
import { formatCursor, parseCursor } from '../../dist/contract/cursor.js'
import { scaimindV1, toTimestamp } from '../../dist/contract/proto.js'

/** A coordinator that knows jobs by their ids only and tells their metrics, at a pace that is switched on and off. */
export async function startLiveCoordinator({ tenant, port = 0 }) {
  /** Streams and records by job. */
  const jobs = new Map()
  const jobOf = (id) => {
    const known = jobs.get(id) ?? { streams: new Set(), records: [] }
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
    const { streams, records } = jobOf(id)
    const from = after ? parseCursor(after, 'metrics', id).sequence + 1 : 0
    for (const record of records.slice(from)) stream.write(messageOf(record))
    streams.add(stream)
    stream.on('cancelled', () => streams.delete(stream))
  }
  server.addService(scaimindV1.CoordinatorService.service, methods)
  const bound = await new Promise((done, fail) =>
    server.bindAsync(`127.0.0.1:${port}`, ServerCredentials.createInsecure(), (error, at) => (error ? fail(error) : done(at))),
  )
  const messageOf = (record) => ({ cursor: record.cursor, batch: { records: [record] } })

  function tell(id) {
    const { streams, records } = jobOf(id)
    const sequence = records.length
    const record = {
      cursor: formatCursor({ kind: 'metrics', topic: id, attempt: 1, sequence }),
      step: String(sequence + 1),
      epoch: sequence / 1000,
      time: toTimestamp(new Date()),
      attempt: 1,
      values: { loss: 5 / (sequence + 1), learning_rate: 0.0003, grad_norm: 1.25, tokens_per_second: 51_200 },
    }
    records.push(record)
    for (const stream of streams) stream.write(messageOf(record))
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
    told: (id) => jobOf(id).records.length,
    stop: () => server.forceShutdown(),
  }
}
