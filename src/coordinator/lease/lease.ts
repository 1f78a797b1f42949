/*
 * Who holds the pen
 * =================
 *
 *   coordinator A                      coordinator_lease (one row)                  coordinator B
 *   ─────────────                      ───────────────────────────                  ─────────────
 *   take ───────────────────────────▶  epoch 7, expires in 6 s
 *   renew, every 2 s ───────────────▶  epoch 7, expires in 6 s  ◀──────────── look, every second: not yet
 *   write: lock the row, shared,
 *     where the epoch is 7; commit
 *   ✗ killed, stalled or cut off       … 6 s pass …
 *                                      epoch 8, expires in 6 s  ◀─────────────────────────────── take
 *   wakes up; write: no row with
 *     epoch 7: nothing is written
 *   renew: no row with epoch 7:
 *     steps down, looks on as standby
 *
 * Two clocks are never compared: whether the lease has run out is asked of the database, by its own clock; how long a holder may go on without word
 * from the database is measured by its own. Where the database's clock was put back, what seems to run longer than any lease is cut to a lease's length. Neither is what makes it safe. That is the epoch: taking the lease changes the row, every transaction that
 * writes has the row locked, shared, under its own epoch (`transact`), so that each write is committed before the lease was taken, or not at all. A
 * transaction whose coordinator stalled in the middle would keep the row locked: the database ends it after 5 idle seconds.
 *
 * What is not in the database is guarded where it lies: a trainer is started by whoever claims the attempt's folder, and that is one (engines/local).
 */
import { setTimeout as delay } from 'node:timers/promises'
import type { PrismaClient } from '../../generated/prisma/coordinator/client.js'
import type { Log } from '../jobs/records/log.js'
import { isProvenDead, thisHolder } from './holder.js'

const leaseSeconds = 6
const renewEveryMs = 2000
const tryAgainMs = 300
// A holder without word from the database gives up a second before another may take over.
const silenceMaxMs = leaseSeconds * 1000 - 1000

/** A lease that this process took. */
export interface Lease {
  /** Of this taking; every write of the records needs it. */
  epoch: bigint
  /** Aborts when the lease is lost: another has it, or may have it soon. */
  lost: AbortSignal
  /** Gives it back, so that another may take it at once; nothing where it is lost. Never rejects: what is not given back runs out. */
  release(): Promise<void>
}

/** The lease that the coordinators of one database take turns with. */
export interface CoordinatorLease {
  /** Takes it where nobody holds it, or whoever did is proven dead, and renews it from then on. Null where another holds it. */
  take(address: string): Promise<Lease | null>
  /** Where the one that held it at the last look serves; empty before the first. */
  holderAddress(): string
}

interface LeaseRow {
  epoch: bigint | number
  holder: string
  address: string
  is_over: bigint | number
  is_too_long: bigint | number
}

/** `client` is for the lease alone: a renewal must not wait for a connection behind other work. */
export function coordinatorLease({ client, log }: { client: PrismaClient; log: Log }): CoordinatorLease {
  let lastSeen = ''

  async function renew(epoch: bigint): Promise<boolean> {
    const renewed = await client.$executeRaw`
      UPDATE coordinator_lease SET expires_at = UTC_TIMESTAMP(3) + INTERVAL ${leaseSeconds} SECOND WHERE id = 1 AND epoch = ${epoch}`
    return renewed > 0
  }

  /** Renews until the lease is lost; answers why. Rejects only once the signal aborts. */
  async function keepRenewing(epoch: bigint, takenAt: number, signal: AbortSignal): Promise<string> {
    let renewedAt = takenAt
    for (let nextAt = takenAt + renewEveryMs; ; ) {
      await delay(Math.max(0, nextAt - performance.now()), undefined, { signal })
      const askedAt = performance.now()
      try {
        // Also where it is late, as after a pause of this process: who was not overtaken meanwhile still holds it.
        const isRenewed = await withinMs(renew(epoch), Math.max(tryAgainMs, renewedAt + silenceMaxMs - askedAt))
        if (!isRenewed) return 'another coordinator has taken the lease'
        renewedAt = askedAt
        nextAt = askedAt + renewEveryMs
      } catch (error) {
        signal.throwIfAborted()
        if (performance.now() >= renewedAt + silenceMaxMs) return 'the database could not be asked to renew the lease'
        log.warn({ err: error }, 'the lease could not be renewed; trying again')
        nextAt = performance.now() + tryAgainMs
      }
    }
  }

  function hold(epoch: bigint, takenAt: number): Lease {
    const lost = new AbortController()
    const released = new AbortController()
    const renewing = keepRenewing(epoch, takenAt, released.signal).then(
      (why) => {
        log.warn({ epoch: Number(epoch) }, `this coordinator is no longer the active one: ${why}`)
        lost.abort()
      },
      () => {},
    )
    return {
      epoch,
      lost: lost.signal,
      async release() {
        released.abort()
        await renewing
        await client.$executeRaw`UPDATE coordinator_lease SET expires_at = '1970-01-01' WHERE id = 1 AND epoch = ${epoch}`.catch(
          (error: unknown) => log.warn({ err: error }, 'the lease could not be given back; it runs out'),
        )
      },
    }
  }

  return {
    async take(address) {
      // Looked at without a lock first: taking it locks the row, and the writes of whoever holds it would wait.
      const [row] = await client.$queryRaw<LeaseRow[]>`
        SELECT epoch, holder, address, expires_at <= UTC_TIMESTAMP(3) AS is_over,
          expires_at > UTC_TIMESTAMP(3) + INTERVAL ${leaseSeconds} SECOND AS is_too_long
        FROM coordinator_lease WHERE id = 1`
      if (!row) throw new Error('The table coordinator_lease has lost its row.')
      lastSeen = row.address
      if (Number(row.is_too_long)) await renew(BigInt(row.epoch))
      const isDead = isProvenDead(row.holder)
      if (!isDead && !Number(row.is_over)) return null
      const askedAt = performance.now()
      const taken = await client.$executeRaw`
        UPDATE coordinator_lease
        SET epoch = epoch + 1, holder = ${thisHolder()}, address = ${address}, expires_at = UTC_TIMESTAMP(3) + INTERVAL ${leaseSeconds} SECOND
        WHERE id = 1 AND epoch = ${row.epoch} AND (expires_at <= UTC_TIMESTAMP(3) OR ${isDead})`
      return taken > 0 ? hold(BigInt(row.epoch) + 1n, askedAt) : null
    },
    holderAddress: () => lastSeen,
  }
}

/** The work's result; rejects where it takes longer. */
async function withinMs<Result>(work: Promise<Result>, ms: number): Promise<Result> {
  const settled = new AbortController()
  const late = delay(ms, undefined, { signal: settled.signal }).then(() =>
    Promise.reject(new Error(`no answer within ${Math.round(ms)} ms`)),
  )
  return await Promise.race([work, late]).finally(() => settled.abort())
}
