import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { GraphQLError } from 'graphql'
import { z } from 'zod'

/** A request for an operation, as HTTP and WebSocket carry it. */
export interface OperationRequest {
  query?: string | null | undefined
  documentId?: unknown
  extensions?: Readonly<Record<string, unknown>> | null | undefined
}

/** The documents that may be asked for by id. */
export interface TrustedDocuments {
  /** The text to run for a request. Throws a GraphQLError for an id that is not known, and for a text where only these documents run. */
  textFor(request: OperationRequest): string | undefined
}

const sha256 = (text: string) => createHash('sha256').update(text).digest('hex')
const bare = (id: string) => id.replace(/^sha256:/, '')

/**
 * Documents by id. A request names one by `documentId`, by `extensions.documentId` or by `extensions.persistedQuery.sha256Hash` (as Apollo does), or sends the
 * very text. An id may be any string; a SHA-256 may have `sha256:` before it. With `only`, nothing else runs.
 */
export function trustedDocuments(documents: Readonly<Record<string, string>>, only: boolean): TrustedDocuments {
  const byId = new Map(Object.entries(documents).map(([id, text]) => [bare(id), text]))
  for (const text of Object.values(documents)) byId.set(sha256(text), text)
  return {
    textFor({ query, documentId, extensions }) {
      const persisted = extensions?.persistedQuery as { sha256Hash?: unknown } | null | undefined
      const id = [documentId, extensions?.documentId, persisted?.sha256Hash].find((given) => typeof given === 'string' && given !== '')
      if (typeof id === 'string' && !query) {
        const text = byId.get(bare(id))
        if (text === undefined) throw refusal(`documentId: there is no trusted document ${JSON.stringify(id.slice(0, 80))}.`)
        return text
      }
      if (query && only && !byId.has(sha256(query))) {
        throw refusal('Only trusted documents run here: name one by `documentId` instead of sending a query of your own.')
      }
      return query ?? undefined
    },
  }
}

const refusal = (message: string) => new GraphQLError(message, { extensions: { code: 'VALIDATION_ERROR', http: { status: 400 } } })

const file = z.record(z.string().min(1), z.string().min(1))

/** Reads a file of documents by id. Throws an Error, one line, where it cannot be read or is something else. */
export function readTrustedDocuments(path: string): Record<string, string> {
  try {
    return file.parse(JSON.parse(readFileSync(path, 'utf8')))
  } catch (cause) {
    const reason = cause instanceof z.ZodError ? 'it is not a JSON object of documents by id' : (cause as Error).message
    throw new Error(`${path} cannot be used: ${reason}.`, { cause })
  }
}
