import { setMaxListeners } from 'node:events'
import { readFileSync } from 'node:fs'
import { Client, connectivityState, credentials } from '@grpc/grpc-js'

/** Where a coordinator is. */
export interface Address {
  host: string
  port: number
}

/** How this API proves itself to its coordinators. */
export interface ChannelOptions {
  /** The secret of this API at the coordinator. */
  secret: string
  /** PEM files; undefined: no TLS. */
  tls?: { caFile?: string | undefined; certFile?: string | undefined; keyFile?: string | undefined } | undefined
}

/** The one channel to the coordinator. */
export interface Channel {
  readonly client: Client
  readonly secret: string
  /** Aborts when calls that were sent until then are better sent again, since another coordinator is the active one. */
  readonly left: AbortSignal
  /** Whether the coordinator is connected now. */
  isReady(): boolean
  /** Waits until connected; false when the connection failed, or after `withinMs`. Starts connecting where nothing was tried yet. */
  becomesReady(withinMs: number): Promise<boolean>
  close(): void
}

/** Opens the channel and begins to connect. It reconnects by itself, at most 2 s apart. */
export function openChannel({ host, port }: Address, { secret, tls }: ChannelOptions): Channel {
  const read = (path: string | undefined) => (path ? readFileSync(path) : null)
  const security = tls ? credentials.createSsl(read(tls.caFile), read(tls.keyFile), read(tls.certFile)) : credentials.createInsecure()
  const client = new Client(`${host.includes(':') ? `[${host}]` : host}:${port}`, security, {
    'grpc.initial_reconnect_backoff_ms': 100,
    'grpc.min_reconnect_backoff_ms': 100,
    'grpc.max_reconnect_backoff_ms': 2000,
    // A coordinator that vanished without closing its connection is noticed within 30 s.
    'grpc.keepalive_time_ms': 20_000,
    'grpc.keepalive_timeout_ms': 10_000,
    // HTTP/2's own 64 KB are one batch of log lines: the next would wait for word from here that there is room.
    'grpc-node.flow_control_window': 1024 * 1024,
    'grpc.max_receive_message_length': 16 * 1024 * 1024,
    // Its own connection, so that closing one channel in a process never waits for another's.
    'grpc.use_local_subchannel_pool': 1,
  })
  const channel = client.getChannel()
  channel.getConnectivityState(true)

  function becomesReady(withinMs: number): Promise<boolean> {
    const state = channel.getConnectivityState(true)
    if (state === connectivityState.READY) return Promise.resolve(true)
    if (state !== connectivityState.IDLE && state !== connectivityState.CONNECTING) return Promise.resolve(false)
    const deadline = Date.now() + withinMs
    return new Promise((resolve) => {
      channel.watchConnectivityState(state, deadline, (error) => resolve(error ? false : becomesReady(deadline - Date.now())))
    })
  }

  return {
    client,
    secret,
    left: newLeaving().signal,
    isReady: () => channel.getConnectivityState(false) === connectivityState.READY,
    becomesReady,
    close: () => client.close(),
  }
}

/** What aborts a channel's `left`; each call and stream listens. */
export function newLeaving(): AbortController {
  const leaving = new AbortController()
  setMaxListeners(0, leaving.signal)
  return leaving
}
