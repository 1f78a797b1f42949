import { Server, ServerCredentials } from '@grpc/grpc-js'
import { formatCursor, parseCursor } from '../../dist/contract/cursor.js'
import { scaimindV1 } from '../../dist/contract/proto.js'

/** A coordinator that only tells events, to the API that follows it. */
export async function startStubCoordinator() {
  const events = []
  const streams = new Set()
  const cursor = (sequence) => formatCursor({ kind: 'events', topic: '*', attempt: 0, sequence })
  const message = (event, index) => ({ ...event, sequence: String(index + 1), cursor: cursor(index + 1) })
  const server = new Server()
  const missing = (_call, callback) => callback({ code: 12, details: 'This coordinator only tells events.' })
  const methods = Object.fromEntries(Object.keys(scaimindV1.CoordinatorService.service).map((name) => [name, missing]))
  methods.StreamJobEvents = (stream) => {
    const { after } = stream.request
    const from = after ? parseCursor(after, 'events', '*').sequence : 0
    for (const [index, event] of events.entries()) if (index >= from) stream.write(message(event, index))
    streams.add(stream)
    stream.on('cancelled', () => streams.delete(stream))
  }
  server.addService(scaimindV1.CoordinatorService.service, methods)
  const port = await new Promise((done, fail) =>
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) => (error ? fail(error) : done(bound))),
  )
  return {
    port,
    /** Tells a change of a job. */
    tell(job) {
      const event = { tenant_id: job.tenant_id, job_id: job.job_id, type: 'UPDATED', from_status: job.status, to_status: job.status, job }
      events.push(event)
      for (const stream of streams) stream.write(message(event, events.length - 1))
    },
    stop: () => server.forceShutdown(),
  }
}
