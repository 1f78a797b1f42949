import { Feed, type Listener, type Outcome, type Reader } from './feed.js'

/** A feed whose readers each have an upstream of their own, read no faster than they take. The generator ends when its signal aborts. */
export const feedOf = <Message extends object>(read: (signal: AbortSignal) => AsyncGenerator<Message, void, undefined>): Feed<Message> =>
  new Feed(
    (listener) => openGenerator(read, listener),
    (taken) => taken as Message,
  )

function openGenerator(read: (signal: AbortSignal) => AsyncGenerator<object, void, undefined>, listener: Listener): Reader {
  const stop = new AbortController()
  let pending: { message: object; at: number } | undefined
  let taken = () => {}
  let outcome: Outcome | undefined

  async function run(): Promise<Outcome> {
    try {
      for await (const message of read(stop.signal)) {
        if (stop.signal.aborted) break
        const isTaken = new Promise<void>((resolve) => {
          taken = resolve
        })
        pending = { message, at: Date.now() }
        listener.wake()
        await isTaken
      }
      return { type: 'over' }
    } catch (failure) {
      return { type: 'failed', failure }
    }
  }
  void run().then((how) => {
    outcome = how
    if (!stop.signal.aborted) listener.wake()
  })

  return {
    take() {
      const message = pending?.message
      pending = undefined
      if (message) taken()
      return message
    },
    get outcome() {
      return outcome
    },
    waitedMs: (now) => (pending ? Math.max(0, now - pending.at) : 0),
    leave() {
      stop.abort()
      taken()
    },
  }
}
