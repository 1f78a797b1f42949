import { type Connection, type ConnectionConfig, createConnection } from 'mariadb'
import { Failure } from '../../contract/failure.js'

/** Knows whether the database is there, without asking for each query. */
export interface DatabaseWatch {
  /** Runs what needs the database. Throws DATABASE_UNAVAILABLE at once where it is away, and as soon as it goes away meanwhile. */
  whileThere<Result>(work: () => Promise<Result>): Promise<Result>
  close(): void
}

const pingEveryMs = 1000
const answerMaxMs = 1000
const retryEveryMs = 250

export const databaseAway = (cause: unknown) =>
  new Failure('DATABASE_UNAVAILABLE', 'The database cannot be reached now.', { cause, retryAfterSeconds: 2 })

/**
 * Holds one connection of its own, beside the pool, from the first query on. A pool that lost its server would let each query wait for a connection
 * until its time is over; here the end of this connection, and a new one that is refused, end all waiting at once. A server that does not answer any
 * more is noticed within two seconds. While it is away a new connection is tried four times a second.
 */
export function watchDatabase(config: ConnectionConfig): DatabaseWatch {
  let connection: Connection | undefined
  let timer: NodeJS.Timeout | undefined
  let isStarted = false
  let isClosed = false
  let away: { cause: unknown } | undefined
  const waiting = new Set<(failure: Failure) => void>()

  function later(ms: number, next: () => Promise<void>): void {
    clearTimeout(timer)
    if (isClosed) return
    timer = setTimeout(() => void next(), ms)
    timer.unref()
  }

  async function open(): Promise<void> {
    try {
      const opened = await createConnection({ ...config, connectTimeout: answerMaxMs })
      if (isClosed) return opened.destroy()
      connection = opened
      away = undefined
      // Others may end one connection of a server that is well: a new one tells.
      const lost = () => {
        if (connection !== opened) return
        connection = undefined
        void open()
      }
      opened.on('end', lost)
      opened.on('error', lost)
      later(pingEveryMs, ping)
    } catch (cause) {
      if (isClosed) return
      away = { cause }
      for (const fail of waiting) fail(databaseAway(cause))
      waiting.clear()
      later(retryEveryMs, open)
    }
  }

  async function ping(): Promise<void> {
    const pinged = connection
    if (!pinged) return
    const answered = await Promise.race([
      pinged.ping().then(
        () => true,
        () => false,
      ),
      new Promise<boolean>((resolve) => setTimeout(() => resolve(false), answerMaxMs).unref()),
    ])
    if (connection !== pinged) return
    if (answered) return later(pingEveryMs, ping)
    connection = undefined
    pinged.destroy()
    await open()
  }

  return {
    whileThere(work) {
      if (!isStarted) {
        isStarted = true
        void open()
      }
      if (away) return Promise.reject(databaseAway(away.cause))
      return new Promise((resolve, reject) => {
        waiting.add(reject)
        work()
          .then(resolve, reject)
          .finally(() => waiting.delete(reject))
      })
    },
    close() {
      isClosed = true
      clearTimeout(timer)
      const open = connection
      connection = undefined
      open?.destroy()
    },
  }
}
