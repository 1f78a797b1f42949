import { createSourceEventStream, type ExecutionArgs, type ExecutionResult, execute, GraphQLError } from 'graphql'
import { Failure } from '../../../contract/failure.js'
import type { Admission } from '../../auth/admission.js'
import type { Deliveries } from '../../delivery/deliveries.js'
import type { Delivery, Sink, Source } from '../../delivery/delivery.js'
import { type Made, type Maker, type Sharing, sharings } from '../../delivery/shared.js'
import { Feed, iterate } from '../../operations/job-types.js'
import type { Context } from '../context.js'
import { presentError, presentResult } from '../failure.js'
import { createContext, type ExecutionParts } from './execution.js'
import { LivePayload } from './live-payload.js'
import { sharingKey } from './sharing-key.js'

/** What both transports subscribe with. */
export interface StreamParts extends ExecutionParts {
  admission: Admission
  deliveries: Deliveries
  /** Whether a refusal may set the status of the answer; default true. */
  http?: boolean
}

const sharingOf = sharings<LivePayload>()

/**
 * One reader's subscription. Each message of the source is one execution with loaders of its own, done once for all readers who asked the same. A transport
 * either hands over where messages go, or iterates.
 */
export class LiveStream implements Source<LivePayload>, Maker<LivePayload>, AsyncGenerator<ExecutionResult, void, void> {
  private readonly sharing: Sharing<LivePayload>
  private pulled: { results: AsyncGenerator<ExecutionResult, void, void>; stop: AbortController } | undefined
  private hasLeft = false

  constructor(
    readonly feed: Feed<{ cursor?: string }>,
    private readonly args: ExecutionArgs,
    private readonly parts: StreamParts,
    private readonly leave: () => void,
  ) {
    this.sharing = sharingOf(sharingKey(args, this.context.caller.viewer))
  }

  /** Aborted, with a Failure, when the reader may read no more. */
  get ended(): AbortSignal {
    return this.context.caller.viewer.ended
  }

  /** Brings the messages to a sink, from now on. */
  deliverTo(sink: Sink<LivePayload>): Delivery {
    return this.parts.deliveries.begin(this, sink)
  }

  payloadOf(taken: object): Made<LivePayload> {
    return this.sharing.payloadOf(taken, this)
  }

  make(taken: object): Made<LivePayload> {
    try {
      const event = this.feed.shape(taken)
      if (event === null) return null
      const result = this.resultOf(event)
      const asPayload = (made: ExecutionResult) =>
        new LivePayload(JSON.stringify(presentResult(made, this.presenting)), event.cursor, made.errors !== undefined)
      return result instanceof Promise ? result.then(asPayload).catch((error) => this.faultOf(error)) : asPayload(result)
    } catch (error) {
      return this.faultOf(error)
    }
  }

  isFaulty({ isFaulty }: LivePayload): boolean {
    return isFaulty
  }

  /** What a reader is told whose stream a Failure ended. */
  failed(failure: unknown): ExecutionResult {
    const originalError = failure instanceof Error ? failure : new Error(String(failure))
    return { errors: [presentError(new GraphQLError('The stream ended.', { originalError }), this.presenting)] }
  }

  left(): void {
    if (this.hasLeft) return
    this.hasLeft = true
    this.sharing.leave()
    this.leave()
  }

  [Symbol.asyncIterator](): this {
    return this
  }

  async next(): Promise<IteratorResult<ExecutionResult, void>> {
    const stop = new AbortController()
    this.pulled ??= { results: this.results(AbortSignal.any([stop.signal, this.ended])), stop }
    return this.pulled.results.next()
  }

  async return(): Promise<IteratorResult<ExecutionResult, void>> {
    this.pulled?.stop.abort()
    this.left()
    return { done: true, value: undefined }
  }

  async throw(error: unknown): Promise<IteratorResult<ExecutionResult, void>> {
    await this.return()
    throw error
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.return()
  }

  private async *results(signal: AbortSignal): AsyncGenerator<ExecutionResult, void, void> {
    try {
      for await (const event of iterate(this.feed, signal)) yield presentResult(await this.resultOf(event), this.presenting)
      if (this.ended.aborted) throw this.ended.reason
    } catch (error) {
      yield this.failed(error)
    } finally {
      this.left()
    }
  }

  private get context(): Context {
    return this.args.contextValue as Context
  }

  private get presenting() {
    return { requestId: this.context.requestId, log: this.parts.log, http: false }
  }

  private resultOf(event: object): ExecutionResult | Promise<ExecutionResult> {
    const { caller, requestId } = this.context
    return execute({ ...this.args, rootValue: event, contextValue: createContext(this.parts, caller.viewer, requestId) }) as
      | ExecutionResult
      | Promise<ExecutionResult>
  }

  private faultOf(error: unknown): LivePayload {
    return new LivePayload(JSON.stringify(this.failed(error)), undefined, true)
  }
}

/** Begins a subscription; an error result where it is refused. */
export async function subscribe(args: ExecutionArgs, parts: StreamParts): Promise<LiveStream | ExecutionResult> {
  const context = args.contextValue as Context
  const refusing = { requestId: context.requestId, log: parts.log, http: parts.http }
  const entered = enter(context, parts)
  if (entered instanceof GraphQLError) return presentResult({ errors: [entered] }, refusing)
  const source = await createSourceEventStream(args).catch((error: unknown) => {
    entered()
    throw error
  })
  if (source instanceof Feed) return new LiveStream(source, args, parts, entered)
  entered()
  if (Symbol.asyncIterator in source) throw new Failure('INTERNAL_ERROR', 'A subscription has another source than a feed.')
  return presentResult(source, refusing)
}

/** Counts the stream of a caller; an error where they have too many. */
function enter({ caller }: Context, { admission }: StreamParts): (() => void) | GraphQLError {
  try {
    return admission.stream(caller.viewer)
  } catch (refused) {
    return new GraphQLError('Too many streams.', { originalError: refused as Error })
  }
}
