import type { Plugin } from 'graphql-yoga'
import { cursorOf, type LiveResult } from './execution.js'

const heartbeatMs = 12_000

/** GraphQL over SSE in distinct connections mode. Each `next` carries `id: <cursor>`, so that a browser that reconnects says in `Last-Event-ID` where to go on. */
export function sseWithCursors(): Plugin {
  return {
    onResultProcess({ result, setResultProcessor, request }) {
      if (!request.headers.get('accept')?.includes('text/event-stream') || !(Symbol.asyncIterator in result)) return
      const results = result as AsyncIterable<LiveResult>
      setResultProcessor((_result, fetchAPI) => {
        const headers = { 'content-type': 'text/event-stream', 'cache-control': 'no-store', 'x-accel-buffering': 'no' }
        return new fetchAPI.Response(eventStream(results) as unknown as BodyInit, { headers }) as Response
      }, 'text/event-stream')
    },
  }
}

/** The frames of a subscription; read no faster than they are sent. */
function eventStream(results: AsyncIterable<LiveResult>): ReadableStream<Uint8Array> {
  const iterator = results[Symbol.asyncIterator]()
  const encoder = new TextEncoder()
  let heartbeat: NodeJS.Timeout | undefined
  return new ReadableStream({
    start(controller) {
      // A comment at once, so that headers are sent before the first message, and then to keep proxies from cutting a quiet stream.
      controller.enqueue(encoder.encode(':\n\n'))
      heartbeat = setInterval(() => {
        if ((controller.desiredSize ?? 0) > 0) controller.enqueue(encoder.encode(':\n\n'))
      }, heartbeatMs)
    },
    async pull(controller) {
      const { done, value } = await iterator.next()
      if (!done) {
        controller.enqueue(encoder.encode(frame(value)))
        return
      }
      clearInterval(heartbeat)
      controller.enqueue(encoder.encode('event: complete\ndata:\n\n'))
      controller.close()
    },
    async cancel() {
      clearInterval(heartbeat)
      await iterator.return?.()
    },
  })
}

function frame(result: LiveResult): string {
  const cursor = result[cursorOf]
  const { data, errors, extensions } = result
  const body = JSON.stringify({ data, ...(errors ? { errors } : {}), ...(extensions ? { extensions } : {}) })
  return `event: next\n${cursor ? `id: ${cursor}\n` : ''}data: ${body}\n\n`
}
