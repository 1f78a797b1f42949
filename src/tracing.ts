import { context, propagation, ROOT_CONTEXT, SpanKind, SpanStatusCode, type Tracer, trace } from '@opentelemetry/api'
import type { Logger } from 'pino'
import { codes } from './contract/codes.js'
import { Failure } from './contract/failure.js'
import { packageVersion } from './contract/version.js'

/** Where traces go, from the variables of the same names. */
interface TracingSettings {
  OTEL_EXPORTER_OTLP_ENDPOINT?: string | undefined
  OTEL_EXPORTER_OTLP_TRACES_ENDPOINT?: string | undefined
  OTEL_SERVICE_NAME?: string | undefined
}

/** The sending of traces. */
export interface Tracing {
  /** Sends what is left, for at most two seconds; never fails. Twice is fine. */
  close(): Promise<void>
}

/** A piece of work that is timed. */
export interface OpenSpan {
  /** Runs the work inside: spans that open meanwhile are its children. */
  run<Result>(work: () => Result): Result
  /** Ends it, well unless an error or a status says otherwise. Only the first end counts. */
  end(how?: { error?: unknown; httpStatus?: number }): void
}

const closeWithinMs = 2000
const complainEveryMs = 60_000

const untraced: OpenSpan = { run: (work) => work(), end: () => {} }
let tracer: Tracer | undefined

/**
 * Sends the traces of this process by OTLP over HTTP, in JSON; once a process. Without an endpoint nothing is loaded and spans cost nothing. The
 * standard variables for headers, sampling, batches and resource attributes are read by the library itself. A collector that is away is told to
 * the log, at most once a minute, and what it missed is dropped.
 */
export async function startTracing(
  settings: TracingSettings,
  { service, log }: { service: string; log: Pick<Logger, 'warn'> },
): Promise<Tracing> {
  const { OTEL_EXPORTER_OTLP_ENDPOINT: endpoint, OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: tracesEndpoint, OTEL_SERVICE_NAME: name } = settings
  const url = tracesEndpoint ?? (endpoint && `${endpoint.replace(/\/$/, '')}/v1/traces`)
  if (!url) return { close: async () => {} }
  const [
    { BatchSpanProcessor, NodeTracerProvider },
    { OTLPTraceExporter },
    resources,
    { setGlobalErrorHandler, W3CTraceContextPropagator },
  ] = await Promise.all([
    import('@opentelemetry/sdk-trace-node'),
    import('@opentelemetry/exporter-trace-otlp-http'),
    import('@opentelemetry/resources'),
    import('@opentelemetry/core'),
  ])
  let complainedAt = Number.NEGATIVE_INFINITY
  const complain = (error: unknown) => {
    if (performance.now() - complainedAt < complainEveryMs) return
    complainedAt = performance.now()
    log.warn({ reason: reasonOf(error) }, 'traces cannot be sent; they are dropped')
  }
  setGlobalErrorHandler(complain)
  const provider = new NodeTracerProvider({
    resource: resources
      .defaultResource()
      .merge(resources.resourceFromAttributes({ 'service.name': service, 'service.version': packageVersion }))
      .merge(resources.detectResources({ detectors: [resources.envDetector] }))
      .merge(resources.resourceFromAttributes(name ? { 'service.name': name } : {})),
    spanProcessors: [new BatchSpanProcessor(new OTLPTraceExporter({ url }))],
  })
  // Not the baggage: it is text of the caller's.
  provider.register({ propagator: new W3CTraceContextPropagator() })
  tracer = provider.getTracer('scaimind', packageVersion)

  async function close(): Promise<void> {
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, closeWithinMs)
    })
    await Promise.race([provider.shutdown().catch(complain), late])
    clearTimeout(timer)
    tracer = undefined
    for (const part of [trace, context, propagation]) part.disable()
  }
  let closed: Promise<void> | undefined
  return {
    close() {
      closed ??= close()
      return closed
    },
  }
}

/** Opens the span of a request that came to a door of ours; `traceparent` is the header of whoever sent it. */
export function requestSpan(request: { door: string; method: string; requestId: string; traceparent: unknown }): OpenSpan {
  const { door, method, requestId, traceparent } = request
  if (!tracer) return untraced
  const attributes = { 'http.request.method': method, 'scaimind.door': door, 'scaimind.request_id': requestId }
  return openSpan(tracer, `${method} ${door}`, { kind: SpanKind.SERVER, attributes, within: sentWith(traceparent) })
}

/** Opens the span of a gRPC call that we make. `path` is `/package.Service/Method`. */
export function callSpan(path: string, { requestId }: { requestId: string }): OpenSpan {
  if (!tracer) return untraced
  return openSpan(tracer, path.slice(1), { kind: SpanKind.CLIENT, attributes: ofCall(path, requestId), within: context.active() })
}

/** Opens the span of a gRPC call that came to us; `traceparent` is the caller's. */
export function answerSpan(path: string, { requestId, traceparent }: { requestId: string; traceparent: unknown }): OpenSpan {
  if (!tracer) return untraced
  return openSpan(tracer, path.slice(1), { kind: SpanKind.SERVER, attributes: ofCall(path, requestId), within: sentWith(traceparent) })
}

/** Runs the work in a span that ends as the work does. */
export async function inSpan<Result>(span: OpenSpan, work: () => Promise<Result>): Promise<Result> {
  if (span === untraced) return work()
  try {
    const result = await span.run(work)
    span.end()
    return result
  } catch (error) {
    span.end({ error })
    throw error
  }
}

/** The `traceparent` that carries on the span that is open here; undefined where there is none. */
export function traceparentHere(): string | undefined {
  if (!tracer) return undefined
  const carrier: { traceparent?: string } = {}
  propagation.inject(context.active(), carrier)
  return carrier.traceparent
}

function openSpan(
  from: Tracer,
  name: string,
  { kind, attributes, within }: { kind: SpanKind; attributes: Record<string, string>; within: typeof ROOT_CONTEXT },
): OpenSpan {
  const span = from.startSpan(name, { kind, attributes }, within)
  const inside = trace.setSpan(within, span)
  return {
    run: (work) => context.with(inside, work),
    end({ error, httpStatus } = {}) {
      if (!span.isRecording()) return
      if (httpStatus !== undefined) span.setAttribute('http.response.status_code', httpStatus)
      const code = error === undefined ? undefined : error instanceof Failure ? error.code : 'INTERNAL_ERROR'
      if (code) span.setAttribute('error.type', code)
      // A refusal is an answer; only a fault makes the span one that failed.
      if ((code ? codes[code].http : (httpStatus ?? 200)) >= 500) span.setStatus({ code: SpanStatusCode.ERROR })
      span.end()
    },
  }
}

/** The caller's span. Of what callers may send only the ids are taken: `tracestate` is text of theirs. */
function sentWith(traceparent: unknown) {
  return typeof traceparent === 'string' ? propagation.extract(ROOT_CONTEXT, { traceparent }) : ROOT_CONTEXT
}

// Who calls over gRPC may name a request by anything; what is no id stays out.
const ofCall = (path: string, requestId: string): Record<string, string> => ({
  'rpc.system.name': 'grpc',
  'rpc.method': path.slice(1),
  ...(/^[\w.:-]{1,128}$/.test(requestId) ? { 'scaimind.request_id': requestId } : {}),
})

function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  // Connecting to both addresses of `localhost` in vain gives an error with a code alone.
  return error.message || ('code' in error && String(error.code)) || error.name
}
