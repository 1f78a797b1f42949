import type { ServerResponse } from 'node:http'
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client'
import type { Door } from './door.js'

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
    watch({ sockets, topics, isFresh }: { sockets(): number; topics(): number; isFresh(): boolean }): void {
      const gauge = (name: string, help: string, read: () => number) =>
        new Gauge({
          name,
          help,
          registers,
          collect() {
            this.set(read())
          },
        })
      gauge('scaimind_websocket_connections', 'Open WebSocket connections.', sockets)
      gauge('scaimind_live_topics', 'Upstream streams of metrics and logs that are open.', topics)
      gauge('scaimind_cache_fresh', '1 where the cache follows the coordinator now.', () => (isFresh() ? 1 : 0))
    },

    /** The text that Prometheus reads. */
    render: async () => ({ contentType: registry.contentType, text: await registry.metrics() }),
  }
}
