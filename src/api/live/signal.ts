/** Wakes everyone who waits for the next change. */
export interface ChangeSignal {
  notify(): void
  /** Resolves at the next `notify`, or when `signal` is aborted. */
  wait(signal: AbortSignal): Promise<void>
}

export function changeSignal(): ChangeSignal {
  let waiting = new Set<() => void>()
  return {
    notify() {
      const woken = waiting
      waiting = new Set()
      for (const wake of woken) wake()
    },
    wait(signal) {
      if (signal.aborted) return Promise.resolve()
      return new Promise((resolve) => {
        const wake = () => {
          signal.removeEventListener('abort', wake)
          waiting.delete(wake)
          resolve()
        }
        waiting.add(wake)
        signal.addEventListener('abort', wake)
      })
    },
  }
}
