import { createHash } from 'node:crypto'
import { Failure, InvalidInput } from '../../../contract/failure.js'
import { type Database, type Transaction, transact } from './database.js'

/** Which request, by the caller's key. */
export interface IdempotentRequest {
  tenantId: string
  method: 'SubmitJob' | 'RetryJob' | 'SubmitEvaluation'
  /** Empty: none, and nothing is remembered. */
  key: string
  /** The request without its key; compared by content. */
  request: unknown
}

/** Writes the first answer, in the transaction that made it true. */
export type Remember = (tx: Transaction, jobId: string, answer: unknown) => Promise<unknown>

const keptMs = 7 * 24 * 3600 * 1000

/**
 * Runs a request once by its key: a repeat gets the first answer, another request under the same key IDEMPOTENCY_CONFLICT. A request that
 * is refused does not use the key up; of two at once the second waits for the first.
 */
export function idempotency({ database, clock }: { database: Database; clock: () => Date }) {
  const busy = new Map<string, Promise<unknown>>()
  return {
    async once<Answer>(named: IdempotentRequest, work: (remember: Remember | undefined) => Promise<Answer>): Promise<Answer> {
      const { tenantId, method, key } = named
      if (key === '') return await work(undefined)
      checkKey(key)
      const id = JSON.stringify([tenantId, method, key])
      while (busy.has(id)) await busy.get(id)
      const running = answerOrWork(named, work)
      const settled = running.then(
        () => busy.delete(id),
        () => busy.delete(id),
      )
      busy.set(id, settled)
      return await running
    },

    /** Forgets answers older than 7 days. */
    async forgetOld(): Promise<void> {
      const createdAt = { lt: new Date(clock().getTime() - keptMs) }
      await transact(database, (tx) => tx.idempotencyRecord.deleteMany({ where: { createdAt } }))
    },
  }

  async function answerOrWork<Answer>(
    { tenantId, method, key, request }: IdempotentRequest,
    work: (remember: Remember | undefined) => Promise<Answer>,
  ): Promise<Answer> {
    const requestHash = hashOf(request)
    const where = { tenantId_method_key: { tenantId, method, key } }
    const stored = await database.idempotencyRecord.findUnique({ where })
    if (stored && stored.createdAt.getTime() > clock().getTime() - keptMs) {
      if (stored.requestHash === requestHash) return JSON.parse(stored.answer) as Answer
      throw new Failure('IDEMPOTENCY_CONFLICT', `The idempotency key ${JSON.stringify(key)} was used for another ${method}.`)
    }
    return await work(async (tx, jobId, answer) => {
      await tx.idempotencyRecord.deleteMany({ where: { tenantId, method, key } })
      await tx.idempotencyRecord.create({
        data: { tenantId, method, key, requestHash, jobId, answer: JSON.stringify(answer), createdAt: clock() },
      })
    })
  }
}

/** Remembered requests. */
export type Idempotency = ReturnType<typeof idempotency>

/** SHA-256 of a request's content, whatever the order of its fields. */
export function hashOf(request: unknown): string {
  return createHash('sha256').update(canonical(request)).digest('hex')
}

function canonical(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`
  if (value === null || typeof value !== 'object') return JSON.stringify(value) ?? 'null'
  const entries = Object.entries(value).filter(([, inner]) => inner !== undefined)
  return `{${entries
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, inner]) => `${JSON.stringify(key)}:${canonical(inner)}`)
    .join(',')}}`
}

function checkKey(key: string): void {
  if (/^[\x20-\x7e]{1,255}$/.test(key)) return
  throw new InvalidInput([{ path: 'idempotency_key', message: 'A key is 1 to 255 printable ASCII characters.' }], 'INVALID_ARGUMENT')
}
