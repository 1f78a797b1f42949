import { Agent, request } from 'node:http'
import { credentials, Metadata } from '@grpc/grpc-js'
import { scaimindV1 } from '../../dist/contract/proto.js'

/** One connection to a server over HTTP that is kept. Throws where the answer is no success. */
export function httpClient(port, headers) {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  const send = (method, path, body) =>
    new Promise((done, fail) => {
      const given = body === undefined ? {} : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) }
      const sent = request({ port, host: '127.0.0.1', agent, method, path, headers: { ...headers, ...given } }, (response) => {
        let text = ''
        response.setEncoding('utf8').on('data', (chunk) => {
          text += chunk
        })
        response.on('end', () => {
          const answer = JSON.parse(text)
          if (response.statusCode >= 300 || answer.errors) fail(new Error(text.slice(0, 1000)))
          else done(answer)
        })
      })
      sent.on('error', fail).end(body)
    })
  return { get: (path) => send('GET', path), post: (path, body) => send('POST', path, body), close: () => agent.destroy() }
}

/** One channel to a coordinator, as a program of its own would call it. */
export function grpcClient(port, { secret, tenant }) {
  const client = new scaimindV1.CoordinatorService(`127.0.0.1:${port}`, credentials.createInsecure())
  const metadata = new Metadata()
  metadata.set('x-api-secret', secret)
  metadata.set('x-tenant-id', tenant)
  return {
    call: (method, message) =>
      new Promise((done, fail) => client[method](message, metadata, (error, answer) => (error ? fail(error) : done(answer)))),
    close: () => client.close(),
  }
}

/** Calls the ways by turns, so that what else the machine does weighs on all of them, and answers the middle of each one's milliseconds. */
export async function medians(ways, { turns, warm = 20 }) {
  const { median } = await import('./figures.mjs')
  const found = Object.fromEntries(Object.keys(ways).map((name) => [name, []]))
  for (let turn = -warm; turn < turns; turn++) {
    for (const [name, way] of Object.entries(ways)) {
      const start = performance.now()
      await way(turn)
      if (turn >= 0) found[name].push(performance.now() - start)
    }
  }
  return Object.fromEntries(Object.entries(found).map(([name, figures]) => [name, median(figures)]))
}
