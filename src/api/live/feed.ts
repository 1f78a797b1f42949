/** Told when there may be more to take. Never called from within `take`. */
export interface Listener {
  wake(): void
}

/** How a stream ended: all is told, or a Failure ended it (anything else that was thrown is a fault of ours). */
export type Outcome = { type: 'over' } | { type: 'failed'; failure: unknown }

/**
 * One reader's way through a stream: it takes what is there, and is woken when there may be more. Nothing is kept for a reader; what it does not
 * take in time is read again from the journal, or thinned.
 */
export interface Reader {
  /**
   * The next thing, where it is there now. All readers that stand at the same place and are not late get the same object, so that work done on it can be shared.
   * `isLate`: the reader was held up; a stream that thins answers everything that waits in one.
   */
  take(isLate?: boolean): object | undefined
  /** Set when nothing follows what was taken. */
  readonly outcome: Outcome | undefined
  /** How many ms ago the next thing came that this reader has not taken; 0 where there is none. */
  waitedMs(now: number): number
  /** Ends the reading. Twice is fine. */
  leave(): void
}

/** A stream that any number of readers may follow, each on their own. */
export class Feed<Message> implements AsyncIterable<Message> {
  constructor(
    /** Begins to read. `wake` may be called as soon as this has returned. */
    readonly open: (listener: Listener) => Reader,
    /** What a thing that was taken means to the reader; null where there is nothing in it for them. The same for all readers who asked the same. */
    readonly shape: (taken: object) => Message | null,
  ) {}

  [Symbol.asyncIterator](): AsyncGenerator<Message, void, undefined> {
    return iterate(this, new AbortController().signal)
  }
}

/** A feed of what each message of another becomes. */
export const mapFeed = <From, To>({ open, shape }: Feed<From>, map: (message: From) => To | null): Feed<To> =>
  new Feed(open, (taken) => {
    const message = shape(taken)
    return message === null ? null : map(message)
  })

class First {
  constructor(readonly message: unknown) {}
}

const over: Outcome = { type: 'over' }

/** A feed that begins with messages of the reader's own; over after them where nothing follows. */
export function startingWith<Message>(messages: readonly Message[], rest?: Feed<Message>): Feed<Message> {
  if (messages.length === 0 && rest) return rest
  const open = (listener: Listener): Reader => {
    const reader = rest?.open(listener)
    let told = 0
    return {
      take: (isLate) => (told < messages.length ? new First(messages[told++]) : reader?.take(isLate)),
      get outcome() {
        if (told < messages.length) return undefined
        return reader ? reader.outcome : over
      },
      waitedMs: (now) => reader?.waitedMs(now) ?? 0,
      leave: () => reader?.leave(),
    }
  }
  return new Feed(open, (taken) => (taken instanceof First ? (taken.message as Message) : (rest?.shape(taken) ?? null)))
}

/** A feed without those things that `isTold` knows of, for a reader who heard of them another way. */
export function without<Message>({ open, shape }: Feed<Message>, isTold: (taken: object) => boolean): Feed<Message> {
  const openWithout = (listener: Listener): Reader => {
    const reader = open(listener)
    return {
      take(isLate) {
        let taken = reader.take(isLate)
        while (taken && isTold(taken)) taken = reader.take(isLate)
        return taken
      },
      get outcome() {
        return reader.outcome
      },
      waitedMs: (now) => reader.waitedMs(now),
      leave: () => reader.leave(),
    }
  }
  return new Feed(openWithout, shape)
}

/** The messages of a feed one after the other, until it is over or the signal aborts. Throws the Failure that ended it. */
export async function* iterate<Message>(feed: Feed<Message>, signal: AbortSignal): AsyncGenerator<Message, void, undefined> {
  let woken = false
  let goOn = () => {}
  const wake = () => {
    woken = true
    goOn()
  }
  const reader = feed.open({ wake })
  signal.addEventListener('abort', wake)
  try {
    while (!signal.aborted) {
      const taken = reader.take()
      if (taken) {
        const message = feed.shape(taken)
        if (message !== null) yield message
        continue
      }
      if (reader.outcome?.type === 'failed') throw reader.outcome.failure
      if (reader.outcome) return
      if (!woken) {
        await new Promise<void>((resolve) => {
          goOn = resolve
        })
      }
      woken = false
    }
  } finally {
    signal.removeEventListener('abort', wake)
    reader.leave()
  }
}
