import { serverAudits } from 'graphql-http'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type ApiUnderTest, startApiUnderTest, type TenantUnderTest } from '../../support/api.js'

let under: ApiUnderTest
let tenant: TenantUnderTest

beforeAll(async () => {
  under = await startApiUnderTest()
  tenant = await under.tenant()
})
afterAll(() => under?.close())

const request = (init: RequestInit & { search?: string }) => {
  const { search = '', headers, ...rest } = init
  return fetch(`${under.api.url}/graphql${search}`, { ...rest, headers: { authorization: `Bearer ${tenant.key}`, ...headers } })
}
const json = { 'content-type': 'application/json' }

describe('GraphQL over HTTP', () => {
  // The audits of the specification, by its own reference implementation.
  for (const audit of serverAudits({ url: () => `${under.api.url}/graphql`, fetchFn: fetch })) {
    it(`${audit.id}: ${audit.name}`, async () => {
      const result = await audit.fn()
      expect(result.status === 'ok' ? 'ok' : `${result.status}: ${result.reason}`).toBe('ok')
    })
  }

  it('a mutation by GET is 405 and names POST', async () => {
    const response = await request({ search: `?query=${encodeURIComponent('mutation { cancelJob(jobId: "x") { __typename } }')}` })
    expect(response.status).toBe(405)
    expect(response.headers.get('allow')).toMatch(/POST/)
  })

  it('variables in a URL that are no JSON are 400 and said to be so', async () => {
    for (const name of ['variables', 'extensions']) {
      const response = await request({
        search: `?query=${encodeURIComponent('{ __typename }')}&${name}=%7B`,
        headers: { accept: 'application/json' },
      })
      const { errors } = (await response.json()) as { errors: { message: string; extensions: { code: string } }[] }
      expect([response.status, errors[0]?.extensions.code]).toEqual([400, 'VALIDATION_ERROR'])
      expect(errors[0]?.message).toMatch(/JSON/)
    }
  })

  it('an answer has the media type that was asked for, and 200 where only a field failed', async () => {
    const body = JSON.stringify({ query: '{ job(jobId: "job_00000000000000000000000000") { name } }' })
    const modern = await request({ method: 'POST', headers: { ...json, accept: 'application/graphql-response+json' }, body })
    expect(modern.headers.get('content-type')).toMatch(/^application\/graphql-response\+json/)
    expect(modern.status).toBe(200)
    const { data, errors } = (await modern.json()) as { data: unknown; errors: { extensions: { code: string; requestId: string } }[] }
    expect(data).toEqual({ job: null })
    expect(errors[0]?.extensions).toMatchObject({ code: 'JOB_NOT_FOUND', requestId: modern.headers.get('x-request-id') })
    const legacy = await request({ method: 'POST', headers: { ...json, accept: 'application/json' }, body })
    expect(legacy.headers.get('content-type')).toMatch(/^application\/json/)
  })

  it('a query that does not fit the schema is 400 in the modern media type and 200 in the old one', async () => {
    const body = JSON.stringify({ query: '{ nothing }' })
    expect((await request({ method: 'POST', headers: { ...json, accept: 'application/graphql-response+json' }, body })).status).toBe(400)
    expect((await request({ method: 'POST', headers: { ...json, accept: 'application/json' }, body })).status).toBe(200)
  })

  it('another media type, another method and a media type that cannot be answered are refused as HTTP has it', async () => {
    expect((await request({ method: 'POST', headers: { 'content-type': 'text/plain' }, body: '{ viewer { userId } }' })).status).toBe(415)
    const put = await request({ method: 'PUT', headers: json, body: JSON.stringify({ query: '{ __typename }' }) })
    expect([put.status, put.headers.get('allow')]).toEqual([405, expect.stringMatching(/GET.*POST/)])
    const query = `?query=${encodeURIComponent('{ __typename }')}`
    expect((await request({ search: query, headers: { accept: 'image/png' } })).status).toBe(406)
  })

  it('an unknown key is 401 with a code; every error carries the id of its request', async () => {
    const body = JSON.stringify({ query: '{ viewer { userId } }' })
    const headers = { ...json, authorization: `Bearer sgk_${'x'.repeat(40)}`, 'x-request-id': 'mine-1' }
    const response = await fetch(`${under.api.url}/graphql`, { method: 'POST', headers, body })
    expect([response.status, response.headers.get('x-request-id')]).toEqual([401, 'mine-1'])
    const { errors } = (await response.json()) as { errors: { extensions: object }[] }
    expect(errors[0]?.extensions).toMatchObject({ code: 'AUTH_TOKEN_INVALID', requestId: 'mine-1' })
  })

  // Accepting the old media type, where a refused query would be 200.
  it.each([
    ['a body that is not JSON', { body: '{nope' }, 400, 'VALIDATION_ERROR', /JSON/],
    ['an empty body', { body: '' }, 400, 'VALIDATION_ERROR', /./],
    ['several operations in one body', { body: JSON.stringify([{ query: '{ __typename }' }]) }, 400, 'VALIDATION_ERROR', /[Bb]atch/],
    ['a parameter that is none', { body: JSON.stringify({ query: '{ __typename }', mystery: 1 }) }, 400, 'VALIDATION_ERROR', /mystery/],
    ['another method', { method: 'PUT', body: JSON.stringify({ query: '{ __typename }' }) }, 405, 'METHOD_NOT_ALLOWED', /./],
    [
      'a body over the limit',
      { body: JSON.stringify({ query: `{ __typename } # ${'x'.repeat(2 ** 21)}` }) },
      413,
      'PAYLOAD_TOO_LARGE',
      /./,
    ],
    [
      'a body of another media type',
      { headers: { 'content-type': 'text/plain' }, body: 'x' },
      415,
      'UNSUPPORTED_MEDIA_TYPE',
      /text\/plain.*application\/json/,
    ],
    [
      'a media type that cannot be answered',
      { headers: { ...json, accept: 'image/png' }, body: JSON.stringify({ query: '{ __typename }' }) },
      406,
      'UNSUPPORTED_MEDIA_TYPE',
      /image\/png.*application\/json/,
    ],
  ])('%s is refused with a code, the request id and what would be right', async (_name, init, status, code, message) => {
    const response = await request({ method: 'POST', headers: { ...json, accept: 'application/json' }, ...init })
    const { errors } = (await response.json()) as { errors: { message: string; extensions: object }[] }
    expect([response.status, errors.map(({ extensions }) => extensions)]).toEqual([
      status,
      [{ code, requestId: response.headers.get('x-request-id') }],
    ])
    expect(errors[0]?.message).toMatch(message)
  })

  it('a subscription is not answered as JSON', async () => {
    const body = JSON.stringify({ query: 'subscription { jobsUpdated { cursor } }' })
    const response = await request({ method: 'POST', headers: { ...json, accept: 'application/json' }, body })
    expect(response.status).toBeGreaterThanOrEqual(400)
    await response.body?.cancel()
  })
})
