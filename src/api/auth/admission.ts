import { RateLimiterMemory, type RateLimiterRes } from 'rate-limiter-flexible'
import { QuotaExceeded } from '../../contract/failure.js'
import type { Viewer } from './viewer.js'

/** How much one caller, and one tenant, may ask of this instance. */
export interface AdmissionLimits {
  /** Requests a second of an API key, or of a user's tokens; 0: no limit. */
  perKey: number
  /** Requests a second of a tenant; 0: no limit. */
  perTenant: number
  /** Streams that a key, or a user's tokens, have open at once. */
  streamsPerKey: number
}

/** Who asks the doors for more than their share is refused here, whatever door it is. */
export interface Admission {
  /** Counts a request. Throws RATE_LIMITED that says when to come again. */
  request(viewer: Viewer): Promise<void>
  /** Counts a stream until the answer is called; twice is fine. Throws RATE_LIMITED where too many are open. */
  stream(viewer: Viewer): () => void
}

// A rate is kept over so long, which is what lets a burst of that many seconds' requests come at once.
const windowSeconds = 2
const streamRetrySeconds = 5

/** Counts by caller and by tenant, in the memory of this process. */
export function admission({ perKey, perTenant, streamsPerKey }: AdmissionLimits): Admission {
  const key = rateLimit(perKey, (requests) => `A caller may send ${requests} requests a second.`)
  const tenant = rateLimit(perTenant, (requests) => `A tenant may send ${requests} requests a second.`)
  const streams = new Map<string, number>()

  return {
    async request(viewer) {
      await key(callerOf(viewer))
      await tenant(viewer.tenantId)
    },

    stream(viewer) {
      const caller = callerOf(viewer)
      const open = streams.get(caller) ?? 0
      if (open >= streamsPerKey) {
        throw new QuotaExceeded(`A caller may have ${streamsPerKey} streams open at once.`, streamsPerKey, streamRetrySeconds)
      }
      streams.set(caller, open + 1)
      let isOpen = true
      return () => {
        if (!isOpen) return
        isOpen = false
        const left = (streams.get(caller) ?? 1) - 1
        if (left > 0) streams.set(caller, left)
        else streams.delete(caller)
      }
    },
  }
}

/** A key counts alone; tokens, of which a user may fetch any number, count together. */
const callerOf = ({ keyId, userId, homeTenantId }: Viewer) => keyId ?? `${homeTenantId}/${userId}`

function rateLimit(perSecond: number, sentence: (perSecond: number) => string): (name: string) => Promise<void> {
  if (perSecond === 0) return async () => {}
  const limiter = new RateLimiterMemory({ points: perSecond * windowSeconds, duration: windowSeconds })
  return async (name) => {
    try {
      await limiter.consume(name)
    } catch (spent) {
      const seconds = Math.max(1, Math.ceil((spent as RateLimiterRes).msBeforeNext / 1000))
      throw new QuotaExceeded(sentence(perSecond), perSecond, seconds)
    }
  }
}
