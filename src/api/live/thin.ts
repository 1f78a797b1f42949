import { type Live, liveStream } from './live-stream.js'

/** What `thin` let through, and what it keeps back. */
export interface Thinned<Item> {
  records: Item[]
  /** The newest record of the window that is still open. */
  waiting: Item | undefined
  /** When the open window ends. */
  end: number
}

/** Leaves one record in each window of `windowMs`, the newest; a record after a window without any is let through at once. */
export function thin<Item>(
  records: readonly Item[],
  { end: start, windowMs, timeOf }: { end: number; windowMs: number; timeOf(record: Item): number },
): Thinned<Item> {
  const kept: Item[] = []
  let waiting: Item | undefined
  let end = start
  for (const record of records) {
    const time = timeOf(record)
    if (time < end) {
      waiting = record
    } else if (waiting === undefined) {
      kept.push(record)
      end = time + windowMs
    } else {
      kept.push(waiting)
      waiting = record
      end += windowMs * (Math.floor((time - end) / windowMs) + 1)
    }
  }
  return { records: kept, waiting, end }
}

interface Batch<Item> {
  type: 'batch'
  cursor: string
  records: Item[]
  thinned: number
}

/** Thins a stream of batches to at most so many records a second, by the records' own times. Messages of other types pass; before one, and after a quiet window, the newest record is told. */
export function thinStream<Item extends { cursor: string }, Other extends { type: 'gap' | 'end' }>(
  source: Live<Batch<Item> | Other>,
  { maxPerSecond, timeOf }: { maxPerSecond: number; timeOf(record: Item): number },
): Live<Batch<Item> | Other> {
  const windowMs = 1000 / maxPerSecond
  const never = new AbortController().signal

  async function* read(signal: AbortSignal): AsyncGenerator<Batch<Item> | Other, void, undefined> {
    signal.addEventListener('abort', () => void source.return())
    let waiting: Item | undefined
    let end = Number.NEGATIVE_INFINITY
    let leftOut = 0
    const batchOf = (records: Item[]): Batch<Item> => {
      const thinned = leftOut
      leftOut = 0
      return { type: 'batch', cursor: records.at(-1)?.cursor ?? '', records, thinned }
    }
    let pending = source.next()
    for (;;) {
      const next = await (waiting === undefined ? pending : within(pending, windowMs))
      if (next === undefined) {
        if (waiting !== undefined) yield batchOf([waiting])
        waiting = undefined
        continue
      }
      if (next.done) return
      pending = source.next()
      // What is pending is awaited in the next round, or never where the reader leaves.
      pending.catch(() => {})
      if (next.value.type === 'batch') {
        const { records } = next.value as Batch<Item>
        const before = waiting === undefined ? records : [waiting, ...records]
        const result = thin(before, { end: Number.isFinite(end) ? end : timeOf(before[0] as Item), windowMs, timeOf })
        leftOut += before.length - result.records.length - (result.waiting === undefined ? 0 : 1)
        ;({ waiting, end } = result)
        if (result.records.length > 0) yield batchOf(result.records)
      } else {
        if (waiting !== undefined) yield batchOf([waiting])
        waiting = undefined
        yield next.value
      }
    }
  }
  return liveStream(read, { ended: never, closing: never })
}

/** The value, or undefined where it is not there within `ms`. */
function within<Value>(value: Promise<Value>, ms: number): Promise<Value | undefined> {
  let timer: NodeJS.Timeout
  const late = new Promise<undefined>((resolve) => {
    timer = setTimeout(resolve, ms, undefined)
  })
  return Promise.race([value, late]).finally(() => clearTimeout(timer))
}
