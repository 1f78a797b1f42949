import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { gzip } from 'node:zlib'
import { packageVersion } from '../../contract/version.js'
import { openApiDocument } from './openapi.js'
import type { Route } from './route.js'

interface Asset {
  type: string
  plain: Buffer
  zipped: Buffer
  etag: string
}

/** Serves `openapi.json` and the page that shows it, from our own files. Answers false for any other path. Both need no key: they say nothing of anybody's. */
export function docsPages(routes: readonly Route[], base: string) {
  const assets = new Map<string, Promise<Asset>>()
  const makers: Record<string, () => Promise<{ type: string; content: Buffer | string }>> = {
    '/openapi.json': async () => ({
      type: 'application/json; charset=utf-8',
      content: `${JSON.stringify(openApiDocument(routes, { base, version: packageVersion }), null, 2)}\n`,
    }),
    '/docs': async () => ({ type: 'text/html; charset=utf-8', content: page }),
    '/docs/page.js': async () => ({ type: 'text/javascript; charset=utf-8', content: script }),
    '/docs/swagger-ui.css': () => vendored('swagger-ui.css', 'text/css; charset=utf-8'),
    '/docs/swagger-ui-bundle.js': () => vendored('swagger-ui-bundle.js', 'text/javascript; charset=utf-8'),
  }

  return async (request: IncomingMessage, response: ServerResponse, path: string): Promise<boolean> => {
    const make = Object.hasOwn(makers, path) ? makers[path] : undefined
    if (!make || (request.method !== 'GET' && request.method !== 'HEAD')) return false
    const asset = await (assets.get(path) ?? keep(path, make))
    send(request, response, asset)
    return true
  }

  function keep(path: string, make: () => Promise<{ type: string; content: Buffer | string }>): Promise<Asset> {
    const made = make().then(async ({ type, content }) => {
      const plain = Buffer.from(content)
      const etag = `"${createHash('sha256').update(plain).digest('base64url').slice(0, 20)}"`
      return { type, plain, zipped: await promisify(gzip)(plain), etag }
    })
    assets.set(path, made)
    return made
  }
}

function send({ method, headers }: IncomingMessage, response: ServerResponse, { type, plain, zipped, etag }: Asset): void {
  const common = { etag, vary: 'accept-encoding', 'cache-control': 'no-cache' }
  if (headers['if-none-match'] === etag) {
    response.writeHead(304, common).end()
    return
  }
  const isZipped = /\bgzip\b/.test(String(headers['accept-encoding'] ?? ''))
  const body = isZipped ? zipped : plain
  response.writeHead(200, {
    ...common,
    'content-type': type,
    'content-length': body.length,
    ...(isZipped ? { 'content-encoding': 'gzip' } : {}),
    ...(type.startsWith('text/html') ? { 'content-security-policy': policy } : {}),
  })
  response.end(method === 'HEAD' ? undefined : body)
}

const policy =
  "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'; frame-ancestors 'none'"

const folder = dirname(createRequire(import.meta.url).resolve('swagger-ui-dist/package.json'))

const vendored = async (file: string, type: string) => ({ type, content: await readFile(join(folder, file)) })

const page = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>ScaiMind REST</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="docs/swagger-ui.css">
<style>body { margin: 0; background: #fff }</style>
</head>
<body>
<noscript>This page needs JavaScript; <a href="openapi.json">openapi.json</a> is what it shows.</noscript>
<div id="page"></div>
<script src="docs/swagger-ui-bundle.js"></script>
<script src="docs/page.js"></script>
</body>
</html>
`

const script = `SwaggerUIBundle({
  url: 'openapi.json',
  dom_id: '#page',
  deepLinking: true,
  docExpansion: 'list',
  defaultModelsExpandDepth: 0,
  // What is tried out goes to this server only, with the key that the reader enters.
  validatorUrl: null,
})
`
