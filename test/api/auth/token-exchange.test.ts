import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { tokenExchange } from '../../../src/api/auth/token-exchange.js'
import { withoutSecrets } from '../../../src/contract/secrets.js'
import { type ApiUnderTest, callerOf, eventually, graphql, silent, startApiUnderTest } from '../../support/api.js'
import { freshDatabase } from '../../support/database.js'
import { toGraphQLInput } from '../../support/doors.js'
import { TokenIssuer } from '../../support/issuer.js'
import { Service } from '../../support/service.js'
import { StubCoordinator } from '../../support/stub-coordinator.js'

const spec = {
  name: 'exchanged',
  training_config: { training_type: 'LORA', base_model: { model_id: 'scaimind/byte-tiny' }, framework: { type: 'HF_TRAINER' } },
  data_config: { sources: [{ path: 'data.jsonl' }] },
  resource_config: { gpu_count: 0 },
}
const evaluation = { model_uri: 'scaimind/byte-tiny', benchmarks: [{ name: 'perplexity', dataset: 'data.jsonl' }] }
const submitJob = `mutation ($input: SubmitJobInput!, $dryRun: Boolean) {
  submitJob(input: $input, dryRun: $dryRun) { __typename ... on Error { code message } ... on RequestFailed { retryAfterSeconds } }
}`

let issuer: TokenIssuer
let under: ApiUnderTest

beforeAll(async () => {
  issuer = await new TokenIssuer().start()
  under = await startApiUnderTest(issuer.exchangeSettings)
})
afterAll(async () => {
  await under?.close()
  await issuer?.stop()
})
beforeEach(() => {
  issuer.exchanges.length = 0
  issuer.refusal = undefined
  under.stub.requests.length = 0
})

const submit = async (token: string, dryRun = false) =>
  (await graphql(under.api.url, token, submitJob, { input: toGraphQLInput(spec), dryRun })).data.submitJob

const rest = (token: string, method: string, path: string, body?: object) =>
  fetch(`${under.api.url}/v1/modules/scaimind${path}`, {
    method,
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
    ...(body ? { body: JSON.stringify(body) } : {}),
  })

/** The tokens that calls of a method carried. */
const carried = (method: string, stub = under.stub) =>
  stub.requests
    .filter((one) => one.method === method)
    .map(({ metadata }) => ['x-scaidrive-token', 'x-scaiatlas-token'].map((name) => metadata.get(name)[0]?.toString()))

describe('A submission with a token', () => {
  it('carries tokens for ScaiDrive and ScaiAtlas, by RFC 8693', async () => {
    const token = await issuer.token({ sub: 'first' })
    expect(await submit(token)).toMatchObject({ __typename: 'SubmitJobSuccess' })
    const [[drive, atlas] = []] = carried('SubmitJob')
    expect([drive, atlas]).toEqual([expect.stringMatching(/^secret-of-scaidrive-/), expect.stringMatching(/^secret-of-scaiatlas-/)])
    expect(issuer.exchanges.map(({ form }) => form.audience).sort()).toEqual(['scaiatlas', 'scaidrive'])
    const [{ authorization, form } = { authorization: '', form: {} as Record<string, string> }] = issuer.exchanges
    expect(form).toMatchObject({
      grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
      subject_token: token,
      subject_token_type: 'urn:ietf:params:oauth:token-type:access_token',
    })
    expect(Buffer.from(authorization?.replace('Basic ', '') ?? '', 'base64').toString()).toBe('scaimind%20api:exchange-secret%3A0123456789')
  })

  it('carries them over REST and for evaluations too, and asks for them once', async () => {
    const token = await issuer.token({ sub: 'twice' })
    expect((await rest(token, 'POST', '/jobs', spec)).status).toBe(201)
    expect((await rest(token, 'POST', '/evaluations', evaluation)).status).toBe(201)
    expect(carried('SubmitEvaluation')).toEqual(carried('SubmitJob'))
    expect(carried('SubmitEvaluation')[0]?.every(Boolean)).toBe(true)
    expect(issuer.exchanges).toHaveLength(2)
  })

  it('shares one exchange with others at the same time', async () => {
    const token = await issuer.token({ sub: 'together' })
    issuer.holds = true
    const submissions = [submit(token), submit(token), submit(token)]
    await issuer.untilExchanges(2)
    issuer.release()
    for (const answer of await Promise.all(submissions)) expect(answer.__typename).toBe('SubmitJobSuccess')
    expect(issuer.exchanges).toHaveLength(2)
  })
})

describe('No token is forwarded', () => {
  it('for an API key, which has none to exchange', async () => {
    const tenant = await under.tenant()
    expect(await submit(tenant.key)).toMatchObject({ __typename: 'SubmitJobSuccess' })
    expect(carried('SubmitJob')).toEqual([[undefined, undefined]])
    expect(issuer.exchanges).toEqual([])
  })

  it('for a dry run, nor by any other call', async () => {
    const token = await issuer.token({ sub: 'reader' })
    expect(await submit(token, true)).toMatchObject({ __typename: 'SubmitJobSuccess' })
    await rest(token, 'POST', '/jobs', spec)
    await rest(token, 'GET', '/jobs')
    await rest(token, 'GET', '/cluster')
    const others = under.stub.requests.filter(({ method, request }) => method !== 'SubmitJob' || (request as { dry_run: boolean }).dry_run)
    expect(others.map(({ method }) => method)).toEqual(expect.arrayContaining(['SubmitJob', 'ListJobs', 'GetCluster']))
    for (const { metadata } of others) expect(metadata.get('x-scaidrive-token')).toEqual([])
  })
})

describe('An exchange that fails refuses the submission', () => {
  const table: [string, { status: number; body: unknown }, object, number][] = [
    ['for later where the endpoint is down', { status: 503, body: 'away' }, { code: 'BACKEND_TIMEOUT', retryAfterSeconds: 2 }, 504],
    ['for later where it answers no token', { status: 200, body: {} }, { code: 'BACKEND_TIMEOUT' }, 504],
    ['where the caller may not', { status: 400, body: { error: 'invalid_target' } }, { code: 'AUTHZ_PERMISSION_DENIED' }, 403],
    ['where the token is not accepted', { status: 400, body: { error: 'invalid_grant' } }, { code: 'AUTH_TOKEN_INVALID' }, 401],
    ['where this API is not known there', { status: 401, body: { error: 'invalid_client' } }, { code: 'INTERNAL_ERROR' }, 500],
  ]
  it.each(table)('%s', async (what, refusal, expected, status) => {
    const token = await issuer.token({ sub: what })
    issuer.refusal = refusal
    expect(await submit(token)).toMatchObject({ __typename: 'RequestFailed', ...expected })
    expect((await rest(token, 'POST', '/jobs', spec)).status).toBe(status)
    expect(carried('SubmitJob')).toEqual([])
    issuer.refusal = undefined
    expect(await submit(token)).toMatchObject({ __typename: 'SubmitJobSuccess' })
  })
})

describe('Exchanged tokens', () => {
  const viewer = (token: string) => ({ ...callerOf('acme').viewer, subjectToken: () => token })
  const settings = () => ({ url: `${issuer.url}/token`, clientId: 'c', clientSecret: 's', scaidriveAudience: 'scaidrive', log: silent })

  it('are asked for again before they expire, and another caller’s are not given', async () => {
    const exchange = tokenExchange(settings())
    issuer.expiresIn = 3600
    const first = await exchange(viewer('a'))
    expect(await exchange(viewer('a'))).toEqual(first)
    expect(await exchange(viewer('b'))).not.toEqual(first)
    issuer.expiresIn = 0.02
    const shortLived = await exchange(viewer('c'))
    await eventually(async () => (await exchange(viewer('c'))).scaidriveToken !== shortLived.scaidriveToken)
    issuer.expiresIn = 3600
  })

  it('are kept in bounds', async () => {
    const exchange = tokenExchange(settings(), { keptMax: 2 })
    for (const name of ['a', 'b', 'c', 'a']) await exchange(viewer(name))
    expect(issuer.exchanges).toHaveLength(4)
  })
})

describe('Logs', () => {
  it('hold no key, no token and no stack for a caller, whatever fails', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'scaimind-log-'))
    const stub = await new StubCoordinator().start()
    const service = new Service(
      'api',
      {
        ...issuer.exchangeSettings,
        DATABASE_URL: await freshDatabase('api'),
        SCAIMIND_DATA_DIR: folder,
        SCAIMIND_API_SECRET: stub.secret,
        SCAIMIND_GRPC_PORT: String(stub.port),
        SCAIMIND_LOG_LEVEL: 'debug',
      },
      join(folder, 'api.log'),
    )
    try {
      await service.start()
      const url = `http://127.0.0.1:${service.port}`
      const token = await issuer.token({ sub: 'logged' })
      const unknownKey = `sgk_${'Z'.repeat(43)}`
      const bodies: string[] = []
      const post = async (path: string, authorization: string, body: object | string) => {
        const response = await fetch(url + path, {
          method: 'POST',
          headers: { authorization, 'content-type': 'application/json' },
          body: typeof body === 'string' ? body : JSON.stringify(body),
        })
        bodies.push(await response.text())
      }
      const everything = async (authorization: string) => {
        await post('/v1/modules/scaimind/jobs', authorization, spec)
        await post('/v1/modules/scaimind/jobs', authorization, '{')
        await post('/graphql', authorization, { query: submitJob, variables: { input: toGraphQLInput(spec) } })
        await post('/graphql', authorization, { query: '{ nothing }' })
      }
      await everything(`Bearer ${token}`)
      const forwarded = carried('SubmitJob', stub).flat().filter(Boolean) as string[]
      // The coordinator fails, and echoes what it was sent.
      const echo = `broke on Bearer ${token} and ${unknownKey}`
      for (const method of ['SubmitJob', 'ListJobs']) stub.refusals.set(method, { code: 'INTERNAL_ERROR', message: echo })
      for (const authorization of [`Bearer ${token}`, `Bearer ${unknownKey}`, `Basic ${token}`, token]) await everything(authorization)
      issuer.refusal = { status: 401, body: { error: 'invalid_client', error_description: `not ${token}` } }
      await everything(`Bearer ${await issuer.token({ sub: 'logged too' })}`)
      await service.stop()

      const log = readFileSync(join(folder, 'api.log'), 'utf8')
      expect(log).toMatch(/scaimind_coordinator_error/)
      expect(log).toMatch(/scaimind_token_exchange/)
      expect(forwarded.length).toBeGreaterThan(0)
      for (const secret of [token, unknownKey, stub.secret, 'exchange-secret', ...forwarded]) {
        expect(log).not.toContain(secret)
        expect(bodies.join('\n')).not.toContain(secret)
      }
      expect(bodies.join('\n')).not.toMatch(/\n\s+at |\.[jt]s:\d+/)
    } finally {
      await service.stop()
      stub.stop()
      issuer.refusal = undefined
      rmSync(folder, { recursive: true, force: true })
    }
  })

  it('show that there was a secret, and everything else', () => {
    const line = `{"level":50,"headers":{"authorization":"Bearer abc.def","x-scaidrive-token":["t1"]},"msg":"key sgk_${'a'.repeat(43)} of ada"}`
    expect(withoutSecrets(line)).toBe('{"level":50,"headers":{"authorization":"***","x-scaidrive-token":"***"},"msg":"key sgk_*** of ada"}')
  })
})
