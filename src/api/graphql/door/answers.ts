/** What knows of changes of a tenant's jobs, as far as kept answers need it. */
export interface Freshness {
  /** Another number after each change that was received or written. */
  version(tenantId: string): number
  /** Undefined where everything that was received is in the cache. */
  settled(tenantId: string): Promise<boolean> | undefined
  /** Whether changes are heard of at all now. */
  isFresh(): boolean
}

/** An answer to a query, ready to be sent; null where it is not one to keep. */
export type Answer = string | null

/** Answers that are asked for again and again. */
export interface Answers<Made extends { answer: Answer }> {
  /** The answer that is kept, or that is being made, under this key; else `make` makes it. */
  get(tenantId: string, key: string, make: () => Promise<Made>): Promise<Made>
}

// Other instances write changes that this process hears of a little later.
const ageMaxMs = 1000
const answerBytesMax = 256 * 1024

interface Kept<Made> {
  version: number
  madeAt: number
  /** Undefined where it is not kept: what one alone asked for is not worth its room, and what a change overtook is old. */
  made: Promise<Made> | undefined
  asked: number
  bytes: number
}

/**
 * Keeps answers that are made of a tenant's cached jobs alone, from the second time on that they are asked for. One is given out until an event of the
 * tenant is received, and a second at most; those who ask for the same while it is made share the making. An answer that a change overtook while it was
 * made goes only to those who asked before. Nothing is kept while changes are not heard of. All answers together take about `bytesMax` at most.
 */
export function keepAnswers<Made extends { answer: Answer }>(freshness: Freshness, { bytesMax = 32 * 1024 * 1024 } = {}): Answers<Made> {
  const kept = new Map<string, Kept<Made>>()
  let bytes = 0

  function drop(key: string, entry: Kept<Made>): void {
    if (kept.get(key) !== entry) return
    kept.delete(key)
    bytes -= entry.bytes
  }

  /** The oldest go first. */
  function makeRoom(): void {
    for (const [key, entry] of kept) {
      if (bytes <= bytesMax && kept.size <= 2000) return
      drop(key, entry)
    }
  }

  return {
    get(tenantId, tenantKey, make) {
      if (!freshness.isFresh()) return make()
      const key = `${tenantId}\n${tenantKey}`
      const version = freshness.version(tenantId)
      const found = kept.get(key)
      if (found) {
        found.asked++
        if (found.made && found.version === version && Date.now() - found.madeAt < ageMaxMs) return found.made
        drop(key, found)
      }
      const made = make()
      const entry: Kept<Made> = { version, madeAt: Date.now(), made, asked: found?.asked ?? 1, bytes: key.length }
      kept.set(key, entry)
      bytes += entry.bytes
      made.then(
        ({ answer }) => {
          if (!answer || answer.length > answerBytesMax) return drop(key, entry)
          if (kept.get(key) !== entry) return
          const isCurrent = freshness.version(tenantId) === version && freshness.settled(tenantId) === undefined && freshness.isFresh()
          if (isCurrent && entry.asked > 1) {
            entry.bytes += answer.length
            bytes += answer.length
          } else entry.made = undefined
          makeRoom()
        },
        () => drop(key, entry),
      )
      return made
    },
  }
}
