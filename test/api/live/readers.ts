import { type IncomingMessage, request as sendRequest } from 'node:http'
import WebSocket from 'ws'
import { readFrames } from '../../../src/cli/job/sse.js'

/** A message as any door tells it; the record of a REST frame is a batch of one. */
export interface Told {
  type: string
  cursor: string
  records: { cursor: string; step?: number; text?: string }[]
  thinned: number
  from?: string | null
  to?: string | null
  status?: string
}

/** How a stream ended: it was said that nothing follows, or the connection was closed without a word, or with a code of WebSocket. */
export interface Ending {
  how: 'complete' | 'cut' | number
  /** The code of the failure that was told. */
  failure: string | undefined
}

/** One reader of a stream. */
export interface LiveReader {
  /** What it was told so far. */
  readonly told: Told[]
  /** Kept when what it was told is so. Rejects where the stream ends before. */
  until(holds: (told: Told[]) => boolean): Promise<void>
  readonly ended: Promise<Ending>
  /** Takes nothing from its connection any more. */
  pause(): void
  resume(): void
  leave(): void
}

/** What a reader asks for. */
export interface Wanted {
  url: string
  key: string
  jobId: string
  kind?: 'metrics' | 'logs'
  after?: string | null | undefined
  /** Selected of each record, beside its cursor, where it is GraphQL. */
  fields?: string
}

const documents = {
  metrics: (fields = 'step') => `subscription ($id: ID!, $after: String) { it: jobMetrics(jobId: $id, after: $after) {
    __typename
    ... on MetricBatch { cursor thinned records { cursor ${fields} } }
    ... on StreamGap { cursor from to reason }
    ... on StreamEnd { cursor status }
  } }`,
  logs: (fields = 'text') => `subscription ($id: ID!, $after: String) { it: jobLogs(jobId: $id, after: $after) {
    __typename
    ... on LogBatch { cursor records { cursor ${fields} } }
    ... on StreamGap { cursor from to reason }
    ... on StreamEnd { cursor status }
  } }`,
}

/** Every way to read a job's stream; SSE says where to go on in `Last-Event-ID`. */
export const liveDoors = {
  'graphql-ws': ({ url, key, jobId, kind = 'metrics', after, fields }: Wanted) =>
    readSocket(url, key, documents[kind](fields), { id: jobId, after }),
  'GraphQL over SSE': ({ url, key, jobId, kind = 'metrics', after, fields }: Wanted) =>
    readEvents(`${url}/graphql`, key, after, { query: documents[kind](fields), variables: { id: jobId } }),
  'REST over SSE': ({ url, key, jobId, kind = 'metrics', after }: Wanted) =>
    readEvents(`${url}/v1/modules/scaimind/jobs/${jobId}/${kind === 'metrics' ? 'metrics/stream' : 'logs'}`, key, after),
}

export type LiveDoor = keyof typeof liveDoors
export const liveDoorNames = Object.keys(liveDoors) as LiveDoor[]

/** The steps that were told. */
export const stepsOf = (told: Told[]) => told.flatMap(({ records }) => records.map(({ step }) => step))
/** The lines that were told. */
export const linesOf = (told: Told[]) => told.flatMap(({ records }) => records.map(({ text }) => text))
export const thinnedOf = (told: Told[]) => told.reduce((sum, { thinned }) => sum + thinned, 0)
export const numbers = (from: number, to: number) => Array.from({ length: Math.max(0, to - from + 1) }, (_, index) => from + index)

/** Any subscription over a WebSocket of its own, word by word, under the name `it`. */
export function readSocket(url: string, key: string, query: string, variables: object): LiveReader {
  const socket = new WebSocket(`${url.replace('http', 'ws')}/graphql`, 'graphql-transport-ws')
  const notes = new Notes({ pause: () => socket.pause(), resume: () => socket.resume(), leave: () => socket.terminate() })
  const say = (message: object) => socket.send(JSON.stringify(message))
  socket.on('open', () => say({ type: 'connection_init', payload: { authorization: `Bearer ${key}` } }))
  socket.on('message', (data) => {
    const { type, payload } = JSON.parse(String(data))
    if (type === 'connection_ack') say({ id: '1', type: 'subscribe', payload: { query, variables } })
    if (type === 'next') notes.hearResult(payload)
    if (type === 'error') notes.failure = payload[0]?.extensions?.code
    if (type === 'complete' || type === 'error') {
      notes.end('complete')
      socket.close()
    }
  })
  socket.on('close', (code, reason) => {
    notes.failure ??= /^[A-Z_]+(?=:)/.exec(String(reason))?.[0]
    notes.end(code === 1006 ? 'cut' : code)
  })
  socket.on('error', () => {})
  return notes
}

/** Any stream of server-sent events. */
export function readEvents(url: string, key: string, after: string | null | undefined, body?: object): LiveReader {
  const headers = {
    accept: 'text/event-stream',
    authorization: `Bearer ${key}`,
    ...(body ? { 'content-type': 'application/json' } : {}),
    ...(after ? { 'last-event-id': after } : {}),
  }
  const request = sendRequest(url, { method: body ? 'POST' : 'GET', headers, agent: false })
  let resume = () => {}
  let paused: Promise<void> | undefined
  const notes = new Notes({
    pause() {
      paused = new Promise((resolve) => {
        resume = resolve
      })
    },
    resume: () => resume(),
    leave: () => request.destroy(),
  })
  // What is not taken here stays in the connection.
  async function* chunksOf(response: IncomingMessage) {
    for await (const chunk of response) {
      await paused
      yield chunk
    }
  }
  request.on('error', () => notes.end('cut'))
  request.on('response', async (response) => {
    try {
      if (!response.headers['content-type']?.startsWith('text/event-stream')) return notes.refuse(await textOf(response))
      for await (const { id, event, data } of readFrames(chunksOf(response))) {
        if (event === 'complete' || data === '[DONE]') notes.isDone = true
        else if (event === 'next') notes.hearResult(JSON.parse(data))
        else notes.hearFrame(id ?? '', event, JSON.parse(data))
      }
      notes.end(notes.isDone ? 'complete' : 'cut')
    } catch {
      notes.end('cut')
    }
  })
  request.end(body && JSON.stringify(body))
  return notes
}

async function textOf(response: IncomingMessage): Promise<string> {
  let text = ''
  for await (const chunk of response) text += chunk
  return text
}

/** What one reader hears. */
class Notes implements LiveReader {
  readonly told: Told[] = []
  readonly ended: Promise<Ending>
  failure: string | undefined
  isDone = false
  private isOver = false
  private looks = new Set<() => void>()
  private resolveEnded: (ending: Ending) => void = () => {}
  readonly pause: () => void
  readonly resume: () => void
  readonly leave: () => void

  constructor(connection: Pick<LiveReader, 'pause' | 'resume' | 'leave'>) {
    this.pause = connection.pause
    this.resume = connection.resume
    this.leave = connection.leave
    this.ended = new Promise((resolve) => {
      this.resolveEnded = resolve
    })
  }

  hearResult({
    data,
    errors,
  }: {
    data?: { it: Omit<Told, 'type'> & { __typename: string } }
    errors?: { extensions: { code: string } }[]
  }) {
    if (errors) this.failure = errors[0]?.extensions.code
    if (!data?.it) return
    const { __typename = 'JobUpdate', records = [], thinned = 0, ...rest } = data.it
    this.hear({ type: __typename, records, thinned, ...rest })
  }

  hearFrame(id: string, event: string | undefined, data: { [key: string]: never }): void {
    if (event === 'error') this.failure = data.code
    else if (event === 'gap') this.hear({ type: 'StreamGap', cursor: id, records: [], thinned: 0, from: data.from, to: data.to })
    else if (event === 'thinned') this.hear({ type: 'Thinned', cursor: '', records: [], thinned: data.records ?? 0 })
    else this.hear({ type: 'Record', cursor: id, records: [{ ...data, cursor: id }], thinned: 0 })
  }

  refuse(text: string): void {
    const { error, errors } = JSON.parse(text)
    this.failure = error?.code ?? errors?.[0]?.extensions?.code
    this.end('complete')
  }

  end(how: Ending['how']): void {
    if (this.isOver) return
    this.isOver = true
    this.resolveEnded({ how, failure: this.failure })
    for (const look of this.looks) look()
  }

  async until(holds: (told: Told[]) => boolean): Promise<void> {
    while (!holds(this.told)) {
      if (this.isOver) throw new Error(`The stream ended (${this.failure ?? 'no failure'}) after ${JSON.stringify(this.told.at(-1))}.`)
      await new Promise<void>((resolve) => {
        const look = () => {
          this.looks.delete(look)
          resolve()
        }
        this.looks.add(look)
      })
    }
  }

  private hear(message: Told): void {
    this.told.push(message)
    for (const look of this.looks) look()
  }
}
