import { once } from 'node:events'
import type { ServerResponse } from 'node:http'
import { Failure } from '../../contract/failure.js'
import type { Frame, StreamAnswer } from './answer.js'

/** A frame as the documented shim writes it. */
export function formatFrame({ id, event, data }: Frame): string {
  return `${id ? `id: ${id}\n` : ''}${event ? `event: ${event}\n` : ''}data: ${JSON.stringify(data)}\n\n`
}

const done = 'data: [DONE]\n\n'
// A comment; keeps proxies from cutting a quiet stream.
const heartbeat = ':\n\n'

interface SseOptions {
  heartbeatMs: number
  /** What the caller is told of a fault in mid-stream. */
  toFault(error: unknown): { code: string; message: string }
}

/**
 * Sends a live stream as server-sent events until it ends or the client goes. A fault in mid-stream is a frame of the event `error`; the last
 * line is always `data: [DONE]`. No message is asked for before the connection has taken the one before.
 */
export async function sendStream(response: ServerResponse, answer: StreamAnswer, { heartbeatMs, toFault }: SseOptions): Promise<void> {
  const { live } = answer
  const gone = new AbortController()
  const leave = () => {
    gone.abort()
    void live.return()
  }
  if (response.destroyed) return leave()
  response.on('close', leave)
  response.writeHead(200, {
    'content-type': 'text/event-stream',
    'cache-control': 'no-cache, no-transform',
    // nginx would hold frames back.
    'x-accel-buffering': 'no',
  })
  response.flushHeaders()
  const beat = setInterval(() => {
    if (!response.writableNeedDrain) response.write(heartbeat)
  }, heartbeatMs)
  try {
    await sendMessages(response, answer, gone.signal)
  } catch (error) {
    if (!gone.signal.aborted) response.write(formatFrame({ event: 'error', data: toFault(error) }))
  } finally {
    clearInterval(beat)
    response.off('close', leave)
    void live.return()
    response.end(done)
  }
}

async function sendMessages(response: ServerResponse, { live, frame, ...answer }: StreamAnswer, gone: AbortSignal): Promise<void> {
  for (let { rest } = answer; rest !== 'nothing'; ) {
    const next = await live.next()
    if (gone.aborted || (next.done && rest === 'perhaps more')) return
    // Our own stop ends streams quietly: told so, no caller takes the job for finished.
    if (next.done) throw new Failure('COORDINATOR_UNAVAILABLE', 'The stream was cut off here; open it again with Last-Event-ID.')
    const message = frame(next.value)
    rest = message.rest
    const text = message.frames.map(formatFrame).join('')
    if (text && !response.write(text)) await once(response, 'drain', { signal: gone })
  }
}
