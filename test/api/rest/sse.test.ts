import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { formatFrame } from '../../../src/api/rest/sse.js'
import { readFrames } from '../../../src/cli/job/sse.js'

async function readBack(...chunks: Uint8Array[]) {
  const frames = []
  async function* body() {
    yield* chunks
  }
  for await (const frame of readFrames(body())) frames.push(frame)
  return frames
}

describe('A server-sent event', () => {
  it('is an id, one line of JSON, and a blank line', () => {
    expect(formatFrame({ id: 'c1', data: { step: 1 } })).toBe('id: c1\ndata: {"step":1}\n\n')
  })

  it('names its event where it is no record', () => {
    expect(formatFrame({ event: 'error', data: { code: 'INTERNAL_ERROR', message: 'm' } })).toBe(
      'event: error\ndata: {"code":"INTERNAL_ERROR","message":"m"}\n\n',
    )
  })

  it('comes out of a reader as it went in, whatever the text and wherever it is cut', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.string({ unit: 'grapheme' }), { maxLength: 5 }), fc.nat(), async (texts, cut) => {
        const written = Buffer.from(texts.map((text, index) => formatFrame({ id: `c${index}`, data: { text } })).join(''))
        const at = written.length === 0 ? 0 : cut % written.length
        const frames = await readBack(written.subarray(0, at), written.subarray(at))
        expect(frames.map(({ id, data }) => ({ id, ...JSON.parse(data) }))).toEqual(texts.map((text, index) => ({ id: `c${index}`, text })))
      }),
    )
  })
})
