import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { describeJob } from '../../src/cli/job/describe.js'
import { readFrames, type SseFrame } from '../../src/cli/job/sse.js'
import { plainText } from '../../src/cli/plain-text.js'
import { ProgressView } from '../../src/cli/progress.js'

describe('log text on a terminal', () => {
  it('keeps colours and tabs', () => {
    expect(plainText('a\t\u001b[31mred\u001b[0m')).toBe('a\t\u001b[31mred\u001b[0m\u001b[0m')
  })

  it.each([
    ['a title', 'x\u001b]0;owned\u0007y', 'xy'],
    ['a cleared screen', 'x\u001b[2J\u001b[Hy', 'xy'],
    ['a carriage return', 'good\rbad', 'goodbad'],
    ['a link', '\u001b]8;;http://x\u001b\\text\u001b]8;;\u001b\\', 'text'],
    ['an 8-bit escape', 'x\u009b2Jy', 'x2Jy'],
  ])('leaves out %s', (_, line, shown) => {
    expect(plainText(line)).toBe(shown)
  })

  it('leaves no control character but tab and the escape of a colour', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (line) => {
        // biome-ignore lint/suspicious/noControlCharactersInRegex: the escape of a colour is what is looked for.
        const rest = plainText(line).replace(/\u001b\[[0-9;:]*m/g, '')
        return [...rest].every((character) => character === '\t' || (character >= ' ' && !(character >= '\u007f' && character <= '\u009f')))
      }),
    )
  })
})

describe('server-sent events', () => {
  it('are the same however the body is cut', async () => {
    const body = 'id: 1\ndata: {"a":"é"}\n\n: ping\n\nevent: error\ndata: {"code":"X"}\n\ndata: [DONE]\n\ndata: cut off'
    const expected: SseFrame[] = [{ id: '1', data: '{"a":"é"}' }, { event: 'error', data: '{"code":"X"}' }, { data: '[DONE]' }]
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 1, max: 20 }), async (size) => {
        const bytes = new TextEncoder().encode(body)
        const frames: SseFrame[] = []
        for await (const frame of readFrames(chunks(bytes, size))) frames.push(frame)
        expect(frames).toEqual(expected)
      }),
    )
  })
})

describe('progress', () => {
  it('on a terminal is one line, drawn over; elsewhere a line for each tenth', () => {
    const terminal = screen(true)
    const plain = screen(false)
    for (const view of [terminal.view, plain.view]) {
      view.update({ status: 'TRAINING', totalSteps: 100 })
      for (let step = 1; step <= 100; step++) view.update({ step, loss: 1 })
      view.end()
    }
    expect(terminal.text().split('\n')).toHaveLength(2)
    expect(plain.text()).not.toContain('\u001b')
    expect(plain.text().trimEnd().split('\n')).toHaveLength(12)
  })
})

describe('a trainer that cannot be reached', () => {
  const unreachable_since = '2030-01-01T00:00:00.000Z'

  it('is told with the job, since when and why', () => {
    const job = { job_id: 'job_a', name: 'a', status: 'TRAINING', unreachable_since, unreachable_reason: 'Node n1 does not respond.' }
    expect(describeJob(job)).toContain(`Unreachable     since ${unreachable_since}: Node n1 does not respond.\n`)
  })

  it('is told once as it is lost and once as it is back', () => {
    const { view, text } = screen(false)
    for (const unreachableSince of [null, unreachable_since, unreachable_since, null]) view.update({ status: 'TRAINING', unreachableSince })
    expect(text().split('\n')).toEqual(['training', `training · unreachable since ${unreachable_since}`, 'training', ''])
  })
})

async function* chunks(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size)
}

function screen(isTTY: boolean) {
  let text = ''
  let now = 0
  const view = new ProgressView({ isTTY, columns: 80, write: (more) => (text += more) }, () => (now += 1000))
  return { view, text: () => text }
}
