import type { ServerResponse } from 'node:http'
import { Failure } from '../../contract/failure.js'
import type { Deliveries } from '../delivery/deliveries.js'
import type { Delivery, DeliveryOutcome, Sink, Source } from '../delivery/delivery.js'
import type { Made, Sharing } from '../delivery/shared.js'
import type { Frame, Rest, StreamAnswer } from './answer.js'

/** A frame as the documented shim writes it. */
export function formatFrame({ id, event, data }: Frame): string {
  return `${id ? `id: ${id}\n` : ''}${event ? `event: ${event}\n` : ''}data: ${JSON.stringify(data)}\n\n`
}

const done = 'data: [DONE]\n\n'
// A comment; keeps proxies from cutting a quiet stream.
const heartbeat = ':\n\n'

/** The frames of one message, the same bytes for every reader. */
export interface FrameBytes {
  bytes: Buffer
  rest: Rest
}

interface SseOptions {
  deliveries: Deliveries
  /** Shares the bytes with those who asked the same. */
  sharing: Sharing<FrameBytes>
  /** Aborted, with a Failure, when the reader may read no more. */
  ended: AbortSignal
  heartbeatMs: number
  /** What the caller is told of a fault in mid-stream. */
  toFault(error: unknown): { code: string; message: string }
}

/**
 * Sends a live stream as server-sent events until it ends or the client goes; resolves then. A fault in mid-stream is a frame of the event `error`; the last
 * line is always `data: [DONE]`. No message is asked for before the connection has taken the one before.
 */
export function sendStream(response: ServerResponse, answer: StreamAnswer, options: SseOptions): Promise<void> {
  return new Promise((resolve) => {
    response.writeHead(200, {
      'content-type': 'text/event-stream',
      'cache-control': 'no-cache, no-transform',
      // nginx would hold frames back.
      'x-accel-buffering': 'no',
    })
    response.flushHeaders()
    new RestStream(response, answer, options, resolve).begin()
  })
}

class RestStream implements Source<FrameBytes>, Sink<FrameBytes> {
  readonly feed
  private rest: Rest
  private delivery: Delivery | undefined
  private beat: NodeJS.Timeout | undefined
  private hasLeft = false

  constructor(
    private readonly response: ServerResponse,
    private readonly answer: StreamAnswer,
    private readonly options: SseOptions,
    private readonly gone: () => void,
  ) {
    this.feed = answer.feed
    this.rest = answer.rest
  }

  begin(): void {
    const { response, options } = this
    this.beat = setInterval(() => {
      if (!response.writableNeedDrain) response.write(heartbeat)
    }, options.heartbeatMs)
    this.delivery = options.deliveries.begin(this, this)
    if (this.hasLeft) return
    response.on('drain', () => this.delivery?.drained())
    response.on('close', () => this.delivery?.stop())
    if (response.destroyed) this.delivery.stop()
    else if (options.ended.aborted) this.endByViewer()
    else options.ended.addEventListener('abort', this.endByViewer)
    if (this.rest === 'nothing') this.delivery.finish({ type: 'over' })
  }

  payloadOf(taken: object): Made<FrameBytes> {
    return this.options.sharing.payloadOf(taken, this)
  }

  make(taken: object): FrameBytes | null {
    const message = this.feed.shape(taken)
    if (message === null) return null
    const { frames, rest } = this.answer.frame(message)
    return { bytes: Buffer.from(frames.map(formatFrame).join('')), rest }
  }

  write({ bytes, rest }: FrameBytes): boolean {
    this.rest = rest
    const hasRoom = bytes.length === 0 || this.response.write(bytes)
    if (rest === 'nothing') this.delivery?.finish({ type: 'over' })
    return hasRoom
  }

  end(outcome: DeliveryOutcome): void {
    // Our own stop ends streams in the middle: told so, no caller takes the job for finished.
    const isCut = outcome.type === 'closing' || (outcome.type === 'over' && this.rest === 'more')
    const cut = new Failure('COORDINATOR_UNAVAILABLE', 'The stream was cut off here; open it again with Last-Event-ID.')
    const fault = outcome.type === 'failed' ? outcome.failure : isCut ? cut : undefined
    if (fault) this.response.write(formatFrame({ event: 'error', data: this.options.toFault(fault) }))
    this.response.end(done)
  }

  // Nothing reaches a reader who takes nothing; SSE has no code for it.
  giveUp(): void {
    this.response.destroy()
  }

  bytesWaiting(): number {
    return this.response.writableLength
  }

  left(): void {
    if (this.hasLeft) return
    this.hasLeft = true
    clearInterval(this.beat)
    this.options.ended.removeEventListener('abort', this.endByViewer)
    this.options.sharing.leave()
    this.gone()
  }

  private readonly endByViewer = (): void => {
    this.delivery?.finish({ type: 'failed', failure: this.options.ended.reason })
  }
}
