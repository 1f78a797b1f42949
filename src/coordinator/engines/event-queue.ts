/** Values that wait until someone takes them. */
export interface EventQueue<Value> {
  push(value: Value): void
  /** The values in order, each to one taker, until the signal aborts. */
  take(signal: AbortSignal): AsyncGenerator<Value>
}

/** An empty queue. */
export function eventQueue<Value>(): EventQueue<Value> {
  const values: Value[] = []
  const wake: (() => void)[] = []
  const wakeAll = () => {
    for (const resolve of wake.splice(0)) resolve()
  }
  return {
    push(value) {
      values.push(value)
      wakeAll()
    },
    async *take(signal) {
      signal.addEventListener('abort', wakeAll)
      try {
        while (!signal.aborted) {
          const [value] = values.splice(0, 1)
          if (value !== undefined) yield value
          else await new Promise<void>((resolve) => wake.push(resolve))
        }
      } finally {
        signal.removeEventListener('abort', wakeAll)
      }
    },
  }
}
