/** One server-sent event. */
export interface SseFrame {
  id?: string
  event?: string
  data: string
}

/** A response's body as it comes in; leaving the loop ends the connection. */
export async function* chunksOf(body: ReadableStream<Uint8Array>): AsyncGenerator<Uint8Array, void, undefined> {
  const reader = body.getReader()
  try {
    for (;;) {
      const { done, value } = await reader.read()
      if (done) return
      yield value
    }
  } finally {
    // It may be broken already, and then there is nothing left to end.
    await reader.cancel().catch(() => undefined)
  }
}

/** Reads frames off a body as they come in; a frame that is cut off at the end is dropped. */
export async function* readFrames(body: AsyncIterable<Uint8Array>): AsyncGenerator<SseFrame, void, undefined> {
  const decoder = new TextDecoder()
  let rest = ''
  for await (const chunk of body) {
    const blocks = (rest + decoder.decode(chunk, { stream: true })).split(/\r?\n\r?\n/)
    rest = blocks.pop() ?? ''
    for (const block of blocks) {
      const frame = parseFrame(block)
      if (frame !== undefined) yield frame
    }
  }
}

function parseFrame(block: string): SseFrame | undefined {
  const data: string[] = []
  const frame: SseFrame = { data: '' }
  for (const line of block.split(/\r?\n/)) {
    const [, name, value = ''] = /^([^:]+):? ?(.*)$/s.exec(line) ?? []
    if (name === 'data') data.push(value)
    else if (name === 'id') frame.id = value
    else if (name === 'event') frame.event = value
  }
  return data.length === 0 ? undefined : { ...frame, data: data.join('\n') }
}
