/** Runs work, at most so many at a time; the others wait their turn in order. */
export function atMost(count: number): <Result>(work: () => Promise<Result>) => Promise<Result> {
  const waiting: (() => void)[] = []
  let running = 0
  return async (work) => {
    if (running >= count) await new Promise<void>((turn) => waiting.push(turn))
    else running++
    try {
      return await work()
    } finally {
      // The place goes to whoever waits longest, or is given back.
      const next = waiting.shift()
      if (next) next()
      else running--
    }
  }
}
