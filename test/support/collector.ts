import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'

/** A span as it was sent. */
export interface SentSpan {
  /** Of the process that sent it. */
  service: string
  name: string
  /** 2: answers, 3: asks. */
  kind: number
  traceId: string
  spanId: string
  parentSpanId?: string
  attributes: Record<string, unknown>
  /** 2: failed. */
  status: number
}

interface Exported {
  resourceSpans: {
    resource: { attributes: Attribute[] }
    scopeSpans: { spans: (Omit<SentSpan, 'attributes' | 'status'> & { attributes: Attribute[]; status: { code?: number } })[] }[]
  }[]
}
interface Attribute {
  key: string
  value: { stringValue?: string; intValue?: number }
}

/** An OpenTelemetry collector that keeps what it is sent. */
export class Collector {
  readonly spans: SentSpan[] = []
  /** All of it, as it came. */
  text = ''
  url = ''
  #server = createServer()

  /** Listens on a port of its own. One that is `silent` takes what comes and never answers. */
  async start({ silent = false } = {}): Promise<this> {
    this.#server.on('request', async (request, response) => {
      const chunks: Buffer[] = []
      for await (const chunk of request) chunks.push(chunk as Buffer)
      if (request.url !== '/v1/traces' || request.headers['content-type'] !== 'application/json') return response.writeHead(404).end()
      const text = Buffer.concat(chunks).toString()
      this.text += text
      this.spans.push(...read(JSON.parse(text)))
      if (!silent) response.writeHead(200, { 'content-type': 'application/json' }).end('{}')
    })
    this.#server.listen(0, '127.0.0.1')
    await once(this.#server, 'listening')
    this.url = `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
    return this
  }

  /** Ends it, and what is connected to it. */
  async close(): Promise<void> {
    this.#server.closeAllConnections()
    await new Promise((done) => this.#server.close(done))
  }
}

function read({ resourceSpans }: Exported): SentSpan[] {
  return resourceSpans.flatMap(({ resource, scopeSpans }) =>
    scopeSpans.flatMap(({ spans }) =>
      spans.map((span) => ({
        ...span,
        service: String(valuesOf(resource.attributes)['service.name']),
        attributes: valuesOf(span.attributes),
        status: span.status.code ?? 0,
      })),
    ),
  )
}

const valuesOf = (attributes: Attribute[]): Record<string, unknown> =>
  Object.fromEntries(attributes.map(({ key, value }) => [key, value.stringValue ?? value.intValue]))
