import { setMaxListeners } from 'node:events'

/** A stream that a reader can leave at any time: `return()` never waits for the next message. */
export type Live<Message> = AsyncIterableIterator<Message, undefined, undefined> & {
  return(): Promise<IteratorResult<Message, undefined>>
}

/**
 * Makes a stream of a generator that ends when its signal is aborted. The stream ends with what `ended` is aborted with (a key that was revoked),
 * and quietly when `closing` is (the process stops).
 */
export function liveStream<Message>(
  read: (signal: AbortSignal) => AsyncGenerator<Message, void, undefined>,
  { ended, closing }: { ended: AbortSignal; closing: AbortSignal },
): Live<Message> {
  const stop = new AbortController()
  const generator = read(stop.signal)
  let done = false
  const halt = () => stop.abort()
  // One key, and one process, may have any number of streams.
  setMaxListeners(0, ended, closing)
  ended.addEventListener('abort', halt)
  closing.addEventListener('abort', halt)
  if (ended.aborted || closing.aborted) halt()

  const finish = () => {
    done = true
    halt()
    ended.removeEventListener('abort', halt)
    closing.removeEventListener('abort', halt)
    return { done: true as const, value: undefined }
  }

  return {
    [Symbol.asyncIterator]() {
      return this
    },
    async next() {
      if (done) return finish()
      try {
        const result = await generator.next()
        if (!result.done) return { done: false, value: result.value }
      } catch (error) {
        const told = done
        finish()
        if (!told) throw error
      }
      const told = done
      finish()
      if (!told && ended.aborted) throw ended.reason
      return { done: true, value: undefined }
    },
    async return() {
      const result = finish()
      // A generator that never ran must be told; one that waits ends by its signal.
      void generator.return(undefined).catch(() => {})
      return result
    },
    async throw(error) {
      finish()
      throw error
    },
  }
}

/** Reads a stream until the signal says to leave it. */
export async function* leaving<Message>(signal: AbortSignal, live: Live<Message>): AsyncGenerator<Message, void, undefined> {
  signal.addEventListener('abort', () => void live.return(), { once: true })
  yield* live
}

/** A stream of what each message becomes. */
export function mapLive<From, To>(live: Live<From>, map: (value: From) => To): Live<To> {
  return {
    [Symbol.asyncIterator]() {
      return this
    },
    async next() {
      const { done, value } = await live.next()
      return done ? { done, value: undefined } : { done: false, value: map(value) }
    },
    return: () => live.return() as Promise<IteratorResult<To, undefined>>,
  }
}
