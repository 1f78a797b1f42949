/** A payload, null where there is nothing in it for the reader, or the promise of one. */
export type Made<Payload> = Payload | null | Promise<Payload | null>

/** Makes what goes out for a thing that was taken. */
export interface Maker<Payload> {
  make(taken: object): Made<Payload>
  /** Whether it may go better the next time: it is for those who wait for it now, and made anew for who comes later. */
  isFaulty?(payload: Payload): boolean
}

/** Readers who asked the same: what is made of a message is made once for all of them. */
export class Sharing<Payload> {
  private readers = 0
  // As long as a message is in a ring or on its way to somebody.
  private readonly payloads = new WeakMap<object, Made<Payload>>()

  constructor(private readonly onUnread: () => void) {}

  join(): this {
    this.readers++
    return this
  }

  leave(): void {
    this.readers--
    if (this.readers === 0) this.onUnread()
  }

  /** What was made of a thing, or is made now. */
  payloadOf(taken: object, maker: Maker<Payload>): Made<Payload> {
    const known = this.payloads.get(taken)
    if (known !== undefined) return known
    const made = maker.make(taken)
    this.payloads.set(taken, made)
    // Who comes later need not wait for what is there.
    if (made instanceof Promise) {
      made.then(
        (payload) => {
          if (payload !== null && maker.isFaulty?.(payload)) this.payloads.delete(taken)
          else this.payloads.set(taken, payload)
        },
        // Told to those who wait for it.
        () => this.payloads.delete(taken),
      )
    }
    return made
  }
}

/** Finds those who asked the same. Readers of one key must be shown the same. */
export function sharings<Payload>(): (key: string) => Sharing<Payload> {
  const open = new Map<string, Sharing<Payload>>()
  return (key) => {
    const sharing = open.get(key) ?? new Sharing<Payload>(() => open.delete(key))
    open.set(key, sharing)
    return sharing.join()
  }
}
