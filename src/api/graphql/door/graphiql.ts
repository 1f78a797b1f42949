import { createHash } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { promisify } from 'node:util'
import { brotliCompress, constants, gzip } from 'node:zlib'
import { graphiqlScript } from './graphiql-script.js'

interface Page {
  brotli: Buffer
  gzip: Buffer
  plain: Buffer
  etag: string
}

/** Whether a request wants the page rather than an answer. */
export const wantsPage = ({ method, headers, url = '' }: IncomingMessage): boolean =>
  method === 'GET' && Boolean(headers.accept?.includes('text/html')) && !new URL(url, 'http://localhost').searchParams.has('query')

/** Serves GraphiQL from our own files, made and compressed once, at the first request. */
export function graphiqlPage(): (request: IncomingMessage, response: ServerResponse) => Promise<void> {
  let page: Promise<Page> | undefined

  return async (request, response) => {
    page ??= makePage()
    const { brotli, gzip, plain, etag } = await page
    const accepts = String(request.headers['accept-encoding'] ?? '')
    const [encoding, body] = accepts.includes('br') ? ['br', brotli] : accepts.includes('gzip') ? ['gzip', gzip] : [undefined, plain]
    const headers = { etag, vary: 'accept, accept-encoding', 'cache-control': 'no-cache' }
    if (request.headers['if-none-match'] === etag) {
      response.writeHead(304, headers).end()
      return
    }
    response.writeHead(200, {
      ...headers,
      'content-type': 'text/html; charset=utf-8',
      'content-length': body.length,
      'content-security-policy': "frame-ancestors 'none'",
      ...(encoding ? { 'content-encoding': encoding } : {}),
    })
    response.end(body)
  }
}

async function makePage(): Promise<Page> {
  // 9 MB of script: loaded only where someone asks for the page.
  const { js, css, favicon, editorWorkerService, jsonWorker, graphqlWorker } = await import('@graphql-yoga/render-graphiql/graphiql')
  const workers = JSON.stringify({ editorWorkerService, json: jsonWorker, graphql: graphqlWorker }).replaceAll('</', '<\\/')
  const plain = Buffer.from(`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>ScaiMind GraphiQL</title>
<link rel="icon" href="${favicon}">
<style>${css}
html, body, #root { height: 100%; margin: 0; }</style>
</head>
<body class="no-focus-outline">
<noscript>This page needs JavaScript.</noscript>
<div id="root"></div>
<script>
const workers = Object.fromEntries(Object.entries(${workers}).map(([name, text]) => [name, URL.createObjectURL(new Blob([text], { type: 'application/javascript' }))]))
self.MonacoEnvironment = { globalAPI: false, getWorkerUrl: (_module, label) => workers[label] }
</script>
<script>${js}</script>
<script>${graphiqlScript}</script>
</body>
</html>
`)
  const quality = { params: { [constants.BROTLI_PARAM_QUALITY]: 5 } }
  const [brotli, zipped] = await Promise.all([promisify(brotliCompress)(plain, quality), promisify(gzip)(plain)])
  return { plain, brotli, gzip: zipped, etag: `"${createHash('sha256').update(plain).digest('base64url').slice(0, 20)}"` }
}
