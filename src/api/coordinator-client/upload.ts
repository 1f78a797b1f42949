import type { ClientWritableStream, ServiceError } from '@grpc/grpc-js'
import type { Logger } from 'pino'
import { Failure } from '../../contract/failure.js'
import type { Dataset__Output } from '../../generated/proto/scaimind/v1/Dataset.js'
import type { UploadDatasetRequest } from '../../generated/proto/scaimind/v1/UploadDatasetRequest.js'
import type { UploadDescription } from '../../generated/proto/scaimind/v1/UploadDescription.js'
import { callSpan, inSpan } from '../../tracing.js'
import { type CallContext, logged, metadataOf } from './call.js'
import type { Channel } from './channel.js'
import { coordinatorUnavailable } from './failure.js'
import { type Method, methodOf } from './methods.js'

/** Sends a data set on while it comes in. */
export type Upload = (description: UploadDescription, content: AsyncIterable<Uint8Array>, context: CallContext) => Promise<Dataset__Output>

const method = 'UploadDataset' satisfies Method
const connectWithinMs = 2000
// A message stays well below what gRPC takes at most (4 MiB by default), whatever the content comes in.
const chunkBytesMax = 256 * 1024

/**
 * Makes the function that uploads. It takes content no faster than the coordinator takes it, holds one chunk at a time, and throws the coordinator's
 * refusal as soon as it comes, without reading on. It is never repeated: what was read is gone. `timeoutMs` bounds each wait for the coordinator, not
 * the upload as a whole. Failures of the content are thrown as they are.
 */
export function createUpload(
  channel: Channel,
  { timeoutMs, log, onResult }: { timeoutMs: number; log: Logger; onResult?: (method: Method, code: string) => void },
): Upload {
  async function send(description: UploadDescription, content: AsyncIterable<Uint8Array>, context: CallContext): Promise<Dataset__Output> {
    if (!(await channel.becomesReady(connectWithinMs))) throw coordinatorUnavailable()
    const { stream, answer, beforeAnswer } = open(channel, context)

    /** False where the answer is there: nothing more needs to be sent. */
    async function write(message: UploadDatasetRequest): Promise<boolean> {
      if (stream.write(message)) return true
      return (await within(beforeAnswer(new Promise<true>((resolve) => stream.once('drain', () => resolve(true)))))) ?? false
    }

    async function writeAll(): Promise<void> {
      if (!(await write({ description }))) return
      const iterator = content[Symbol.asyncIterator]()
      try {
        for (;;) {
          const next = await beforeAnswer(iterator.next().catch(brokenOff))
          if (!next || next.done) return
          for (let start = 0; start < next.value.length; start += chunkBytesMax) {
            if (!(await write({ chunk: Buffer.from(next.value.subarray(start, start + chunkBytesMax)) }))) return
          }
        }
      } finally {
        // Not waited for: who sends the content may never send more.
        void iterator.return?.().catch(() => {})
      }
    }

    try {
      await writeAll()
      stream.end()
      return await within(answer)
    } catch (error) {
      stream.cancel()
      throw error
    }
  }

  async function within<Value>(work: Promise<Value>): Promise<Value> {
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<never>((_resolve, reject) => {
      const failure = new Failure('BACKEND_TIMEOUT', 'The coordinator did not take the data in time.', { retryAfterSeconds: 2 })
      timer = setTimeout(() => reject(failure), timeoutMs)
    })
    return await Promise.race([work, late]).finally(() => clearTimeout(timer))
  }

  async function counted(
    description: UploadDescription,
    content: AsyncIterable<Uint8Array>,
    context: CallContext,
  ): Promise<Dataset__Output> {
    try {
      const dataset = await send(description, content, context)
      onResult?.(method, 'OK')
      return dataset
    } catch (error) {
      const failure = logged(error, { method, context, log })
      onResult?.(method, failure.code)
      throw failure
    }
  }

  return (description, content, context) => inSpan(callSpan(methodOf(method).path, context), () => counted(description, content, context))
}

function open(channel: Channel, context: CallContext) {
  const { path, requestSerialize, responseDeserialize } = methodOf(method)
  let isAnswered = false
  let wake = () => {}
  let settle: { resolve(dataset: Dataset__Output): void; reject(error: unknown): void } | undefined
  const answer = new Promise<Dataset__Output>((resolve, reject) => {
    settle = { resolve, reject }
  })
  // Whoever waits for it is told; until then nobody may be waiting.
  answer.catch(() => {})
  const { client, left } = channel
  const leave = () => stream.cancel()
  const stream: ClientWritableStream<UploadDatasetRequest> = client.makeClientStreamRequest(
    path,
    requestSerialize,
    responseDeserialize,
    metadataOf(channel, context),
    (error: ServiceError | null, dataset?: Dataset__Output) => {
      left.removeEventListener('abort', leave)
      if (dataset && !error) settle?.resolve(dataset)
      else settle?.reject(error ?? new Error(`${method} answered nothing`))
      isAnswered = true
      wake()
    },
  )
  left.addEventListener('abort', leave)
  // Writing to a call that has ended is told by its answer.
  stream.on('error', () => {})

  /** What the work gives, or undefined where the answer comes first: a refusal, or a data set that is known already. */
  function beforeAnswer<Value>(work: Promise<Value>): Promise<Value | undefined> {
    return new Promise((resolve, reject) => {
      wake = () => resolve(undefined)
      work.then(resolve, reject)
      if (isAnswered) wake()
    })
  }
  return { stream, answer, beforeAnswer }
}

/** The content cannot be read to its end: who sends it left. */
function brokenOff(error: unknown): never {
  if (error instanceof Failure) throw error
  throw new Failure('VALIDATION_ERROR', 'The upload broke off before it was whole.', { cause: error })
}
