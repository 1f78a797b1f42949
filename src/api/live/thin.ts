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

/** Where a record belongs when only the newest of a window of steps is kept: of each attempt, and of each kind of record. */
export type StepOf<Item> = (record: Item) => { attempt: number; step: number; kind: string }

/** Leaves the newest record of each of at most `windowsMax` windows of equal numbers of steps; of each attempt and kind. */
export function thinBySteps<Item>(records: readonly Item[], windowsMax: number, stepOf: StepOf<Item>): Item[] {
  if (records.length <= windowsMax) return [...records]
  const places = records.map(stepOf)
  const first = places.reduce((least, { step }) => Math.min(least, step), Number.POSITIVE_INFINITY)
  const span = places.reduce((most, { step }) => Math.max(most, step), 0) - first + 1
  const newest = new Map<string, number>()
  for (const [index, { attempt, step, kind }] of places.entries()) {
    newest.set(`${attempt} ${Math.floor(((step - first) * windowsMax) / span)} ${kind}`, index)
  }
  const kept = new Set(newest.values())
  return records.filter((_, index) => kept.has(index))
}

type Batch<Item> = { type: 'batch'; cursor: string; records: Item[]; thinned: number }

/**
 * Thins a stream of messages to at most so many of the chosen records a second, by the records' own times. Messages of other types pass; before one, and
 * after a quiet window, the newest record is told.
 */
export async function* thinMessages<Item extends { cursor: string }, Other extends { type: 'gap' | 'end' }>(
  source: AsyncGenerator<Batch<Item> | Other, void, undefined>,
  { maxPerSecond, choose, timeOf }: { maxPerSecond: number; choose(record: Item): Item | null; timeOf(record: Item): number },
): AsyncGenerator<Batch<Item> | Other, void, undefined> {
  const windowMs = 1000 / maxPerSecond
  let waiting: Item | undefined
  // When what waits is told at the latest, by this process's clock.
  let due = 0
  let end = Number.NEGATIVE_INFINITY
  let leftOut = 0
  const batchOf = (records: Item[]): Batch<Item> => {
    const thinned = leftOut
    leftOut = 0
    return { type: 'batch', cursor: records.at(-1)?.cursor ?? '', records, thinned }
  }
  let pending = source.next()
  try {
    for (;;) {
      const next = await (waiting === undefined ? pending : within(pending, Math.max(0, due - performance.now())))
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
        const records = next.value.records.flatMap((record) => choose(record) ?? [])
        if (records.length === 0) continue
        const before = waiting === undefined ? records : [waiting, ...records]
        const result = thin(before, { end: Number.isFinite(end) ? end : timeOf(before[0] as Item), windowMs, timeOf })
        leftOut += before.length - result.records.length - (result.waiting === undefined ? 0 : 1)
        if (waiting === undefined || result.records.length > 0) due = performance.now() + windowMs
        ;({ waiting, end } = result)
        if (result.records.length > 0) yield batchOf(result.records)
      } else {
        if (waiting !== undefined) yield batchOf([waiting])
        waiting = undefined
        yield next.value
      }
    }
  } finally {
    // Not awaited: it ends when its own upstream is told to.
    void source.return().catch(() => {})
  }
}

/** The value, or undefined where it is not there within `ms`. */
function within<Value>(value: Promise<Value>, ms: number): Promise<Value | undefined> {
  let timer: NodeJS.Timeout
  const late = new Promise<undefined>((resolve) => {
    timer = setTimeout(resolve, ms, undefined)
  })
  return Promise.race([value, late]).finally(() => clearTimeout(timer))
}
