/**
 * What this process knows of changes of jobs, a tenant at a time. An answer made from the cache is as new as every event that was received before it was
 * begun: who reads waits until those are applied, and who keeps an answer drops it when `version` is another.
 */
export interface JobChanges {
  /** An event was received and will be applied. Numbers rise over all tenants. */
  received(tenantId: string, sequence: number): void
  /** All events up to this number are in the cache. */
  applied(sequence: number): void
  /** The events that were received cannot be applied now: nobody waits for them until some are. */
  stalled(): void
  /** This process wrote jobs of the tenant by itself. */
  written(tenantId: string): void
  /** All jobs were loaded anew; numbers begin again here. */
  reloaded(sequence: number): void
  /** Another number after each change that the tenant's answers may not show. */
  version(tenantId: string): number
  /** Undefined where nothing is to be waited for; else resolves when what was received is applied, with false where that took too long. */
  settled(tenantId: string): Promise<boolean> | undefined
}

interface Tenant {
  version: number
  /** The last event that was received. */
  sequence: number
}

/** Nobody waits longer for events to be applied. */
export const settleMaxMs = 1000

/** The changes that one process knows of. Tenants that nothing happened to for long cost a few bytes each, at most `tenantsMax` of them. */
export function jobChanges({ tenantsMax = 10_000 } = {}): JobChanges {
  const tenants = new Map<string, Tenant>()
  let waiting: { sequence: number; wake(isApplied: boolean): void }[] = []
  let appliedTo = -1
  let isStalled = false
  // Never given twice, so that a tenant that was forgotten does not meet an answer with its old number.
  let lastVersion = 0
  // The version of all tenants that are not known.
  let forgottenAt = 0

  function change(tenantId: string, sequence?: number): void {
    const known = tenants.get(tenantId)
    const version = ++lastVersion
    if (known) Object.assign(known, { version, ...(sequence === undefined ? {} : { sequence }) })
    else tenants.set(tenantId, { version, sequence: sequence ?? -1 })
    if (tenants.size > tenantsMax) forget()
  }

  function forget(): void {
    for (const [tenantId, { sequence }] of tenants) if (sequence <= appliedTo) tenants.delete(tenantId)
    forgottenAt = ++lastVersion
  }

  function wake(upTo: number, isApplied: boolean): void {
    const woken = waiting.filter(({ sequence }) => sequence <= upTo)
    waiting = waiting.filter(({ sequence }) => sequence > upTo)
    for (const reader of woken) reader.wake(isApplied)
  }

  return {
    received: change,
    written: (tenantId) => change(tenantId),
    applied(sequence) {
      appliedTo = Math.max(appliedTo, sequence)
      isStalled = false
      wake(appliedTo, true)
    },
    stalled() {
      isStalled = true
      wake(Number.POSITIVE_INFINITY, false)
    },
    reloaded(sequence) {
      tenants.clear()
      forgottenAt = ++lastVersion
      appliedTo = sequence
      isStalled = false
      wake(Number.POSITIVE_INFINITY, true)
    },
    version: (tenantId) => tenants.get(tenantId)?.version ?? forgottenAt,
    settled(tenantId) {
      const sequence = tenants.get(tenantId)?.sequence ?? -1
      if (sequence <= appliedTo) return undefined
      if (isStalled) return Promise.resolve(false)
      return new Promise((resolve) => {
        const reader = { sequence, wake: done }
        const timer = setTimeout(() => {
          waiting = waiting.filter((other) => other !== reader)
          resolve(false)
        }, settleMaxMs)
        function done(isApplied: boolean) {
          clearTimeout(timer)
          resolve(isApplied)
        }
        waiting.push(reader)
      })
    },
  }
}
