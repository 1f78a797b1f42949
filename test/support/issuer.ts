import { EventEmitter, once } from 'node:events'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { exportJWK, exportSPKI, generateKeyPair, type JWK, SignJWT } from 'jose'

type KeyPair = Awaited<ReturnType<typeof generateKeyPair>>

/** An exchange as the issuer saw it. */
export interface SeenExchange {
  authorization: string | undefined
  form: Record<string, string>
}

/** Claims over those of a token that works; undefined takes one away. */
export type Claims = Record<string, unknown>

/** An issuer of tokens on loopback: keys that rotate, tokens, and an RFC 8693 endpoint, with faults that a test chooses. */
export class TokenIssuer {
  readonly audience = 'scaimind'
  /** How often the keys were asked for. */
  keysAsked = 0
  readonly exchanges: SeenExchange[] = []
  /** What the exchange answers instead of a token. */
  refusal: { status: number; body: unknown } | undefined
  /** How long exchanged tokens live. */
  expiresIn: number | undefined = 3600
  /** While set, exchanges wait. */
  holds = false
  readonly bell = new EventEmitter().setMaxListeners(0)
  private keys: { kid: string; pair: KeyPair }[] = []
  private server: Server | undefined
  private port = 0

  get url(): string {
    return `http://127.0.0.1:${this.port}`
  }

  /** Settings of an API that trusts this issuer. */
  get settings(): Record<string, string> {
    return { SCAIMIND_JWT_ISSUER: this.url, SCAIMIND_JWT_AUDIENCE: this.audience }
  }

  /** The same for one that exchanges tokens here. */
  get exchangeSettings(): Record<string, string> {
    return {
      ...this.settings,
      SCAIMIND_TOKEN_EXCHANGE_URL: `${this.url}/token`,
      SCAIMIND_TOKEN_EXCHANGE_CLIENT_ID: 'scaimind api',
      SCAIMIND_TOKEN_EXCHANGE_CLIENT_SECRET: 'exchange-secret:0123456789',
      SCAIMIND_SCAIDRIVE_AUDIENCE: 'scaidrive',
      SCAIMIND_SCAIATLAS_AUDIENCE: 'scaiatlas',
    }
  }

  /** Listens; again on the same port after `stop`. */
  async start(): Promise<this> {
    if (this.keys.length === 0) await this.rotate()
    this.server = createServer((request, response) => void this.answer(request, response)).listen(this.port, '127.0.0.1')
    await once(this.server, 'listening')
    this.port = (this.server.address() as AddressInfo).port
    return this
  }

  async stop(): Promise<void> {
    const { server } = this
    this.server = undefined
    if (!server) return
    server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
  }

  /** Signs with a new key from now on; the ones before are not published any more. */
  async rotate(): Promise<void> {
    this.keys = [{ kid: `k${Math.random()}`, pair: await generateKeyPair('RS256', { extractable: true }) }]
  }

  /** A token of a tenant_admin; claims overrule. */
  async token(claims: Claims = {}, { by = this.keys[0], kid = by?.kid }: { by?: { kid: string; pair: KeyPair }; kid?: string } = {}) {
    const now = Math.floor(Date.now() / 1000)
    const payload = {
      iss: this.url,
      aud: this.audience,
      sub: 'ada',
      tenant_id: 'acme',
      roles: ['tenant_admin'],
      iat: now,
      exp: now + 600,
      ...claims,
    }
    if (!by || !kid) throw new Error('the issuer was not started')
    return new SignJWT(JSON.parse(JSON.stringify(payload))).setProtectedHeader({ alg: 'RS256', kid }).sign(by.pair.privateKey)
  }

  /** A token that anybody can make, who takes the public key for a secret. */
  async hmacToken(): Promise<string> {
    const [key] = this.keys
    if (!key) throw new Error('the issuer was not started')
    const secret = new TextEncoder().encode(await exportSPKI(key.pair.publicKey))
    return new SignJWT({ iss: this.url, aud: this.audience, sub: 'eve', tenant_id: 'acme', roles: ['super_admin'] })
      .setProtectedHeader({ alg: 'HS256', kid: key.kid })
      .setExpirationTime('10m')
      .sign(secret)
  }

  /** A token without a signature. */
  unsignedToken(): string {
    const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url')
    const exp = Math.floor(Date.now() / 1000) + 600
    const payload = { iss: this.url, aud: this.audience, sub: 'eve', tenant_id: 'acme', roles: ['super_admin'], exp }
    return `${part({ alg: 'none' })}.${part(payload)}.`
  }

  /** Lets exchanges that wait go on. */
  release(): void {
    this.holds = false
    this.bell.emit('change')
  }

  /** Resolves when so many exchanges were asked for. */
  async untilExchanges(count: number): Promise<void> {
    while (this.exchanges.length < count) await once(this.bell, 'change')
  }

  private async answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (request.url === '/.well-known/jwks.json') {
      this.keysAsked++
      const keys = await Promise.all(
        this.keys.map(async ({ kid, pair }): Promise<JWK> => ({ ...(await exportJWK(pair.publicKey)), kid, alg: 'RS256', use: 'sig' })),
      )
      return send(response, 200, { keys })
    }
    let text = ''
    for await (const chunk of request) text += chunk
    const form = Object.fromEntries(new URLSearchParams(text))
    this.exchanges.push({ authorization: request.headers.authorization, form })
    this.bell.emit('change')
    while (this.holds) await once(this.bell, 'change')
    if (this.refusal) return send(response, this.refusal.status, this.refusal.body)
    send(response, 200, {
      access_token: `secret-of-${form.audience}-${this.exchanges.length}`,
      issued_token_type: 'urn:ietf:params:oauth:token-type:access_token',
      token_type: 'Bearer',
      expires_in: this.expiresIn,
    })
  }
}

function send(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
}
