import type { ServerResponse } from 'node:http'
import type { Plugin } from 'graphql-yoga'
import type { Delivery, DeliveryOutcome, Sink } from '../../delivery/delivery.js'
import type { LivePayload } from './live-payload.js'
import type { LiveStream } from './live-stream.js'

const heartbeatMs = 12_000
const bufferBytes = 64 * 1024
/** How soon a browser comes back when its connection broke, ms; not all at once. Left alone it takes three seconds or more. */
const retryMs = () => Math.round(500 + 1000 * Math.random())

// Who accepts anything, as curl does, gets a subscription as SSE, too.
const acceptsEvents = (accept: string | null) => /text\/event-stream|text\/\*|\*\/\*/i.test(accept || '*/*')

/**
 * GraphQL over SSE in distinct connections mode. Each `next` carries `id: <cursor>`, so that a browser that reconnects says in `Last-Event-ID` where to go on.
 * `streamOf` is the subscription that a response is to: Yoga hands on a wrapping of it.
 */
export function sseWithCursors(streamOf: (response: ServerResponse) => LiveStream | undefined): Plugin {
  return {
    onResultProcess({ setResultProcessor, request, serverContext }) {
      const { res } = serverContext as unknown as { res: ServerResponse }
      const stream = streamOf(res)
      if (!stream || !acceptsEvents(request.headers.get('accept'))) return
      setResultProcessor((_result, fetchAPI) => {
        const headers = { 'content-type': 'text/event-stream', 'cache-control': 'no-store', 'x-accel-buffering': 'no' }
        const body = new ReadableStream(new EventStream(stream, res), { highWaterMark: bufferBytes, size: (chunk) => chunk.byteLength })
        return new fetchAPI.Response(body as unknown as BodyInit, { headers }) as Response
      }, 'text/event-stream')
    },
  }
}

const encoder = new TextEncoder()
// Keeps proxies from cutting a quiet stream.
const comment = encoder.encode(':\n\n')

/** The frames of a subscription, handed on no faster than they are sent. */
class EventStream implements UnderlyingDefaultSource<Uint8Array>, Sink<LivePayload> {
  private controller: ReadableStreamDefaultController<Uint8Array> | undefined
  private delivery: Delivery | undefined
  private heartbeat: NodeJS.Timeout | undefined

  constructor(
    private readonly stream: LiveStream,
    private readonly response: ServerResponse,
  ) {}

  start(controller: ReadableStreamDefaultController<Uint8Array>): void {
    this.controller = controller
    // At once, so that headers are sent before the first message.
    controller.enqueue(encoder.encode(`retry: ${retryMs()}\n\n`))
    this.heartbeat = setInterval(() => this.hasRoom() && controller.enqueue(comment), heartbeatMs)
    const { response, stream } = this
    stream.ended.addEventListener('abort', this.endByViewer)
    // A body whose client went before it was sent is cancelled by nobody.
    response.once('close', this.cancel)
    this.delivery = stream.deliverTo(this)
    if (response.destroyed) this.cancel()
    else if (stream.ended.aborted) this.endByViewer()
  }

  pull(): void {
    this.delivery?.drained()
  }

  write({ sseBytes }: LivePayload): boolean {
    this.controller?.enqueue(sseBytes)
    return this.hasRoom()
  }

  end(outcome: DeliveryOutcome): void {
    this.forget()
    if (outcome.type === 'failed') {
      this.controller?.enqueue(encoder.encode(`event: next\ndata: ${JSON.stringify(this.stream.failed(outcome.failure))}\n\n`))
    }
    // Without `complete` the stream is not over: clients open it again, elsewhere, after the last cursor.
    if (outcome.type !== 'closing') this.controller?.enqueue(encoder.encode('event: complete\ndata:\n\n'))
    this.controller?.close()
  }

  // Nothing reaches a reader who takes nothing; SSE has no code for it.
  giveUp(): void {
    this.forget()
    this.response.destroy()
  }

  bytesWaiting(): number {
    return Math.max(0, bufferBytes - (this.controller?.desiredSize ?? bufferBytes)) + this.response.writableLength
  }

  readonly cancel = (): void => {
    this.forget()
    this.delivery?.stop()
  }

  private readonly endByViewer = (): void => {
    this.delivery?.finish({ type: 'failed', failure: this.stream.ended.reason })
  }

  private hasRoom(): boolean {
    return (this.controller?.desiredSize ?? 0) > 0
  }

  private forget(): void {
    clearInterval(this.heartbeat)
    this.response.removeListener('close', this.cancel)
    this.stream.ended.removeEventListener('abort', this.endByViewer)
  }
}
