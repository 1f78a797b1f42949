import type { IncomingHttpHeaders } from 'node:http'
import type { Duplex } from 'node:stream'
import type { ExecutionResult } from 'graphql'
import type { WebSocket as ProtocolSocket } from 'graphql-ws'
import { WebSocket } from 'ws'
import type { OpenSpan } from '../../../tracing.js'
import type { Viewer } from '../../auth/viewer.js'
import type { Delivery, DeliveryOutcome, Sink } from '../../delivery/delivery.js'
import type { LivePayload } from './live-payload.js'
import type { LiveStream } from './live-stream.js'

// WebSocket's own "try again later"; clients do, after their last cursor.
const tryAgainLater = 1013
const closeWithinMs = 5000
// What is longer is not copied for each reader.
const copiedMax = 8 * 1024

/**
 * One WebSocket connection and the subscriptions on it. Their messages are written as frames of our own making, beside those of `ws` on the same socket:
 * each is one whole frame, so that they cannot mix. The payload is the same bytes for all readers; what differs is the id of the subscription before it.
 * There are many of these: what is not needed is not kept.
 */
export class Connection extends WebSocket {
  /** Of the request that opened it; undefined once it is known who sent it. */
  headers: IncomingHttpHeaders | undefined
  viewer: Viewer | undefined
  /** Whether the client answered, or took what waited for it, since it was last asked. */
  isAlive = true
  /** Tells graphql-ws that it is closed. */
  closed: ((code: number, reason: string) => Promise<void>) | undefined
  private socket: Duplex | undefined
  private stalled: Set<SocketStream> | undefined

  /** Begins, with the socket that it was made of. */
  begin(socket: Duplex, headers: IncomingHttpHeaders): void {
    this.socket = socket
    this.headers = headers
  }

  /** A subscription as graphql-ws takes it: its messages do not come through the iterator, its end does. */
  subscription(id: string, stream: LiveStream, span: OpenSpan): SocketStream {
    return new SocketStream(this, id, stream, span)
  }

  /** Sends a text message of two parts, the first of `headBytes`; false where nothing should follow before it is told that there is room. */
  sendParts(head: string, headBytes: number, tail: Buffer): boolean {
    const { socket } = this
    if (this.readyState !== this.OPEN || !socket) return true
    const length = headBytes + tail.length
    const headerLength = length < 126 ? 2 : length < 65_536 ? 4 : 10
    const isCopied = length <= copiedMax
    const frame = Buffer.allocUnsafe(headerLength + (isCopied ? length : headBytes))
    // The last frame of a message, which is text.
    frame[0] = 0x81
    if (headerLength === 2) frame[1] = length
    else if (headerLength === 4) {
      frame[1] = 126
      frame.writeUInt16BE(length, 2)
    } else {
      frame[1] = 127
      frame.writeUInt32BE(0, 2)
      frame.writeUInt32BE(length, 6)
    }
    frame.write(head, headerLength, headBytes === head.length ? 'latin1' : 'utf8')
    if (isCopied) {
      tail.copy(frame, headerLength + headBytes)
      return socket.write(frame)
    }
    socket.cork()
    socket.write(frame)
    const hasRoom = socket.write(tail)
    socket.uncork()
    return hasRoom
  }

  /** Tells a subscription when there is room again. */
  onDrain(stream: SocketStream): void {
    if (!this.stalled) {
      this.stalled = new Set()
      this.socket?.once('drain', () => {
        const waiting = this.stalled ?? []
        this.stalled = undefined
        // Who takes something is there; the answer to a ping of before may lie behind what is still on its way.
        this.isAlive = true
        for (const one of waiting) one.drained()
      })
    }
    this.stalled.add(stream)
  }

  /** Whether it takes nothing now. */
  get isStalled(): boolean {
    return this.stalled !== undefined
  }

  /** Closes the connection of a client that takes nothing. Twice is fine. */
  closeStuck(): void {
    if (this.readyState !== this.OPEN) return
    this.close(tryAgainLater, 'This reader took nothing for too long; come back after the last cursor.')
    // The close frame waits behind what is not taken.
    setTimeout(() => this.terminate(), closeWithinMs).unref()
  }
}

/** A connection as graphql-ws takes it. */
export class ConnectionSocket implements ProtocolSocket {
  constructor(
    private readonly connection: Connection,
    private readonly failed: (error: unknown) => void,
  ) {}

  get protocol(): string {
    return this.connection.protocol
  }

  send(data: string): Promise<void> {
    return new Promise((resolve, reject) => {
      if (this.connection.readyState !== this.connection.OPEN) return resolve()
      this.connection.send(data, (error) => (error ? reject(error) : resolve()))
    })
  }

  close(code?: number, reason?: string): void {
    this.connection.close(code, reason)
  }

  onMessage(take: (message: string) => Promise<void>): void {
    this.connection.on('message', (message) => take(String(message)).catch(this.failed))
  }
}

const done = { done: true as const, value: undefined }

/** The messages of one subscription on their way into a connection. */
export class SocketStream implements Sink<LivePayload>, AsyncGenerator<ExecutionResult, void, void> {
  // A string: a small buffer would hold on to the large one that it is cut from.
  private readonly head: string
  private readonly headBytes: number
  private delivery: Delivery | undefined
  private resolve: ((result: IteratorResult<ExecutionResult, void>) => void) | undefined
  private isOver = false

  constructor(
    private readonly connection: Connection,
    id: string,
    private readonly stream: LiveStream,
    /** Ends when the stream has begun: what it opens upstream is in the trace. */
    private readonly span: OpenSpan,
  ) {
    this.head = `{"id":${JSON.stringify(id)},"type":"next","payload":`
    this.headBytes = Buffer.byteLength(this.head)
  }

  write({ socketBytes }: LivePayload): boolean {
    if (this.connection.sendParts(this.head, this.headBytes, socketBytes)) return true
    this.connection.onDrain(this)
    return false
  }

  drained(): void {
    this.delivery?.drained()
  }

  end(outcome: DeliveryOutcome): void {
    // The connection is closed as a whole; to complete would say that nothing follows.
    if (outcome.type === 'closing') return
    this.isOver = true
    this.resolve?.(outcome.type === 'failed' ? { done: false, value: this.stream.failed(outcome.failure) } : done)
  }

  giveUp(): void {
    this.connection.closeStuck()
  }

  // Counted by connection.
  bytesWaiting(): number {
    return 0
  }

  /** Begins at the first call; answers only when the stream ends. */
  next(): Promise<IteratorResult<ExecutionResult, void>> {
    if (this.isOver || this.resolve) return Promise.resolve(done)
    return new Promise((resolve) => {
      this.resolve = resolve
      this.delivery = this.span.run(() => this.stream.deliverTo(this))
      this.span.end()
    })
  }

  async return(): Promise<IteratorResult<ExecutionResult, void>> {
    this.isOver = true
    if (this.delivery) this.delivery.stop()
    else this.stream.left()
    this.span.end()
    this.resolve?.(done)
    return done
  }

  async throw(error: unknown): Promise<IteratorResult<ExecutionResult, void>> {
    await this.return()
    throw error
  }

  [Symbol.asyncIterator](): this {
    return this
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.return()
  }
}
