import type { ServerResponse } from 'node:http'
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client'
import type { Deliveries } from './delivery/deliveries.js'
import type { Door } from './door.js'
import { type StreamCounts, type StreamKind, streamKinds } from './live/counts.js'

/** What is looked at when Prometheus asks. */
interface Watched {
  connections(): number
  isFresh(): boolean
  counts: StreamCounts
  deliveries: Deliveries
  topics: Record<StreamKind, () => Iterable<{ readonly bytes: number }>>
  /** Bytes that were written to readers and not sent yet. */
  bytesWaiting(): number
}

/** What the API tells Prometheus. No label holds a user's text. */
export function prometheus() {
  const registry = new Registry()
  const registers = [registry]
  collectDefaultMetrics({ register: registry })
  const requests = new Histogram({
    name: 'scaimind_http_request_seconds',
    help: 'Time until a request was answered; streams until they ended.',
    labelNames: ['door', 'method', 'status'],
    buckets: [0.005, 0.02, 0.1, 0.5, 2, 10, 60],
    registers,
  })
  const calls = new Counter({
    name: 'scaimind_coordinator_calls_total',
    help: 'Calls of the coordinator by how they ended: OK or an error code.',
    labelNames: ['method', 'code'],
    registers,
  })

  return {
    /** A call of the coordinator ended. */
    coordinatorCall: (method: string, code: string) => calls.inc({ method, code }),

    /** Times a request by the door that it came to. */
    observe(response: ServerResponse, { door, method }: Door): void {
      const stop = requests.startTimer({ door, method })
      response.once('close', () => stop({ status: String(response.statusCode) }))
    },

    /** Reads these whenever it is asked. */
    watch({ connections, isFresh, counts, deliveries, topics, bytesWaiting }: Watched): void {
      const gauge = (name: string, help: string, read: () => number) =>
        new Gauge({
          name,
          help,
          registers,
          collect() {
            this.set(read())
          },
        })
      const byKind = (name: string, help: string, read: (kind: StreamKind) => number) =>
        new Gauge({
          name,
          help,
          labelNames: ['kind'],
          registers,
          collect() {
            for (const kind of streamKinds) this.set({ kind }, read(kind))
          },
        })
      const total = (name: string, help: string, read: () => Partial<Record<StreamKind | '', number>>) =>
        new Counter({
          name,
          help,
          labelNames: ['kind'],
          registers,
          collect() {
            this.reset()
            for (const [kind, count] of Object.entries(read())) this.inc(kind ? { kind } : {}, count)
          },
        })
      const open = (kind: StreamKind) => [...topics[kind]()]
      gauge('scaimind_websocket_connections', 'Open WebSocket connections.', connections)
      byKind('scaimind_live_topics', 'Topics of live streams that are open.', (kind) => open(kind).length)
      byKind(
        'scaimind_live_upstream_streams',
        'Streams from the coordinator that live topics and readers behind them have open.',
        (kind) => counts.upstreams[kind],
      )
      gauge('scaimind_live_readers', 'Subscriptions and event streams that are open.', deliveries.readers)
      total('scaimind_live_messages_in_total', 'Messages of live streams that came from the coordinator.', () => counts.messagesIn)
      total('scaimind_live_messages_out_total', 'Messages of live streams that were written, over all readers.', () => ({
        '': deliveries.messagesOut(),
      }))
      total(
        'scaimind_live_thinned_records_total',
        'Records that were left out for readers who asked for fewer or took too little.',
        () => ({ metrics: counts.thinned }),
      )
      total('scaimind_live_readers_given_up_total', 'Readers whose connection was closed because they took nothing.', () => ({
        '': deliveries.givenUp(),
      }))
      gauge(
        'scaimind_live_lag_seconds',
        'How long the reader furthest behind has waited for a message that is there.',
        deliveries.lagSeconds,
      )
      gauge('scaimind_live_ring_bytes', 'Bytes of recent messages that topics hold, roughly.', () =>
        streamKinds.flatMap(open).reduce((sum, { bytes }) => sum + bytes, 0),
      )
      gauge('scaimind_live_waiting_bytes', 'Bytes that were written to readers and not sent yet.', bytesWaiting)
      gauge('scaimind_cache_fresh', '1 where the cache follows the coordinator now.', () => (isFresh() ? 1 : 0))
    },

    /** The text that Prometheus reads. */
    render: async () => ({ contentType: registry.contentType, text: await registry.metrics() }),
  }
}
