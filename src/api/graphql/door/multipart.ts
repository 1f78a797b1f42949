import type { IncomingMessage } from 'node:http'
import type { Readable } from 'node:stream'
import { Busboy, type BusboyInstance } from '@fastify/busboy'
import { z } from 'zod'
import { Failure } from '../../../contract/failure.js'
import { type FilePart, FileUpload } from '../upload.js'

/** What a multipart request may hold. */
export interface MultipartLimits {
  /** Bytes of `operations` and of `map`, each: what a JSON request may hold. */
  bodyBytesMax: number
  /** Bytes of the whole request, its files included. */
  uploadBytesMax: number
}

/** A GraphQL multipart request whose files are still coming in. */
export interface Multipart {
  /** The JSON that the request would be without files. */
  operations: string
  /** Its variables with the files in their places. */
  variables: Record<string, unknown>
}

/** Whether a request is a GraphQL multipart request. */
export const isMultipart = ({ method, headers }: IncomingMessage): boolean =>
  method === 'POST' && /^multipart\/form-data\b/i.test(headers['content-type'] ?? '')

const filesMax = 20

/**
 * Reads a GraphQL multipart request up to its files. Yoga's own reading would hold every file in memory; here a file is read by who uses it, no faster
 * than that, and nothing of it is kept. So files are read in the order in which they are sent, each once.
 * https://github.com/jaydenseric/graphql-multipart-request-spec
 */
export function readMultipart(request: IncomingMessage, { bodyBytesMax, uploadBytesMax }: MultipartLimits): Promise<Multipart> {
  const files = fileParts()
  return new Promise((resolve, reject) => {
    const fail = (failure: Failure) => {
      files.end(failure)
      reject(failure)
    }
    const tooLarge = () => fail(new Failure('PAYLOAD_TOO_LARGE', `An upload is at most ${uploadBytesMax} bytes.`))
    if (Number(request.headers['content-length'] ?? 0) > uploadBytesMax) return tooLarge()

    const form = openForm(request, bodyBytesMax)
    let operations: string | undefined
    form.on('field', (name, value, _isNameCut, isCut) => {
      if (isCut) fail(new Failure('PAYLOAD_TOO_LARGE', `${name}: this is at most ${bodyBytesMax} bytes; files are parts of their own.`))
      else if (name === 'operations') operations = value
      else if (name !== 'map' || operations === undefined) fail(invalid('Send the field operations, then map, then the files.'))
      else {
        try {
          resolve({ operations, variables: withFiles(variablesOf(operations), placesOf(value), files.open) })
        } catch (error) {
          fail(error as Failure)
        }
      }
    })
    form.on('file', (name, stream, filename) => files.arrive(name, stream, filename))
    form.on('finish', () => fail(invalid('The request lacks a part: send operations, map, then each file that map names.')))
    form.on('error', (error) => fail(invalid('This is not a whole multipart request.', error)))
    request.once('close', () => {
      if (!request.complete) fail(invalid('The upload broke off before it was whole.'))
    })
    let bytes = 0
    request.on('data', (chunk: Uint8Array) => {
      bytes += chunk.length
      if (bytes > uploadBytesMax) tooLarge()
    })
    request.pipe(form)
  })
}

function openForm({ headers }: IncomingMessage, fieldSize: number): BusboyInstance {
  try {
    const limits = { fieldSize, fields: 3, files: filesMax, headerPairs: 20 }
    return new Busboy({ headers: { ...headers, 'content-type': headers['content-type'] ?? '' }, limits })
  } catch (error) {
    throw invalid('Content-Type: multipart/form-data comes with a boundary.', error)
  }
}

/** The file parts of a request. One comes when the one before was read or passed over. */
function fileParts() {
  const arrived = new Map<string, Readable & { filename: string }>()
  const awaited = new Map<string, { resolve(part: FilePart): void; reject(failure: Failure): void }>()
  const done = new Set<string>()
  let ended: Failure | undefined

  function pass(name: string, stream: Readable): void {
    done.add(name)
    stream.resume()
  }

  return {
    arrive(name: string, stream: Readable, filename: string): void {
      // An error of a file is told to who reads it; where nobody does, there is nobody to tell.
      stream.on('error', () => {})
      const waiting = awaited.get(name)
      awaited.delete(name)
      if (ended) stream.resume()
      else if (waiting) waiting.resolve({ filename, content: stream })
      // Somebody waits for a later one, and this one stands before it.
      else if (awaited.size > 0) pass(name, stream)
      else arrived.set(name, Object.assign(stream, { filename }))
    },

    /** Nothing more comes. */
    end(failure: Failure): void {
      if (ended) return
      ended = failure
      for (const { reject } of awaited.values()) reject(failure)
      awaited.clear()
      for (const stream of arrived.values()) stream.destroy(failure)
    },

    open(name: string): Promise<FilePart> {
      if (done.has(name)) return Promise.reject(invalid('A file is read once, and files in the order in which they are sent.'))
      done.add(name)
      const stream = arrived.get(name)
      if (stream) return Promise.resolve({ filename: stream.filename, content: stream })
      if (ended) return Promise.reject(ended)
      for (const [other, before] of arrived) if (!done.has(other)) pass(other, before)
      return new Promise((resolve, reject) => awaited.set(name, { resolve, reject }))
    },
  }
}

const mapSchema = z.record(z.string(), z.array(z.string().regex(/^variables(\.[^.]+)+$/)).min(1))

/** `{"0": ["variables.file"]}`: the part that each place is for. */
function placesOf(text: string): Map<string, string> {
  try {
    const entries = Object.entries(mapSchema.parse(JSON.parse(text)))
    if (entries.length > filesMax) throw invalid(`map: at most ${filesMax} files at once.`)
    return new Map(entries.flatMap(([part, places]) => places.map((place): [string, string] => [place, part])))
  } catch (error) {
    if (error instanceof Failure) throw error
    throw invalid('map: this is a JSON object of a list of places for each part: {"0": ["variables.file"]}.', error)
  }
}

function variablesOf(operations: string): Record<string, unknown> {
  try {
    const { variables } = JSON.parse(operations) as { variables?: unknown }
    return isHolder(variables) ? variables : {}
  } catch (error) {
    throw invalid('operations: this is the JSON of a GraphQL request.', error)
  }
}

/** Puts the files in the places that are null for them. */
function withFiles(
  variables: Record<string, unknown>,
  places: ReadonlyMap<string, string>,
  open: (part: string) => Promise<FilePart>,
): Record<string, unknown> {
  const all = { variables }
  for (const [place, part] of places) {
    const keys = place.split('.')
    const last = keys.pop() ?? ''
    const holder = keys.reduce<unknown>((value, key) => (isHolder(value) && Object.hasOwn(value, key) ? value[key] : undefined), all)
    if (!isHolder(holder) || !Object.hasOwn(holder, last) || holder[last] !== null)
      throw invalid(`map: ${place} is not null in operations.`)
    holder[last] = new FileUpload(() => open(part))
  }
  return variables
}

const isHolder = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null
const invalid = (message: string, cause?: unknown) => new Failure('VALIDATION_ERROR', message, { cause })
