import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { apiKeyStore } from '../../src/api/auth/api-keys.js'
import { type Permission, permissions } from '../../src/api/auth/permissions.js'
import { whoMay } from '../../src/api/auth/who-may.js'
import { schema } from '../../src/api/graphql/schema.js'
import type { Route } from '../../src/api/rest/route.js'
import { routes } from '../../src/api/rest/router.js'
import { type ApiUnderTest, eventually, startApiUnderTest, type TenantUnderTest } from '../support/api.js'
import { operationOn, rootFields } from '../support/generated-operations.js'

/** What each caller holds, as the contract has it. */
const callers: Record<string, readonly Permission[]> = {
  super_admin: permissions,
  partner_admin: permissions,
  tenant_admin: permissions,
  tenant_viewer: ['scaimind:view'],
  tenant_user: [],
  ...Object.fromEntries(permissions.map((permission) => [permission, [permission]])),
}
const useCases = Object.values(whoMay)
const fields = useCases.flatMap(({ graphql, needs }) => graphql.map((field) => ({ field, needs })))
const paths = useCases.flatMap(({ rest, needs }) => rest.map((route) => ({ route, needs })))
const denied = 'AUTHZ_PERMISSION_DENIED'

const secret = 'of-the-owner'
let under: ApiUnderTest
let owner: TenantUnderTest
let other: TenantUnderTest
const keys: Record<string, string> = {}
const known: Record<string, unknown> = {}

beforeAll(async () => {
  const off = { SCAIMIND_RATE_PER_KEY: '0', SCAIMIND_RATE_PER_TENANT: '0' }
  const generous = { SCAIMIND_MAX_COMPLEXITY: '100000000', SCAIMIND_MAX_ALIASES: '100000', SCAIMIND_MAX_DEPTH: '50' }
  under = await startApiUnderTest({ ...off, ...generous })
  const { stub } = under
  owner = await under.tenant()
  other = await under.tenant()
  const store = apiKeyStore(under.database)
  const make = (grant: string) => store.create({ tenantId: owner.id, userId: secret, name: secret, grants: [grant] })
  for (const grant of Object.keys(callers)) keys[grant] = (await make(grant)).key

  const withOutput = { has_output: true }
  const job = stub.addJob(owner.id, { name: secret, status: 'TRAINING' })
  const another = stub.addJob(owner.id, { name: secret, status: 'COMPLETED', ...withOutput } as never)
  stub.writeMetrics(job.job_id, 1)
  stub.writeLogs(job.job_id, [secret])
  const evaluations = [1, 2].map(() => stub.nouns.addEvaluation(owner.id, {}, { name: secret }).job_id)
  const dataset = stub.nouns.addDataset(owner.id, { name: secret })
  Object.assign(known, {
    jobId: job.job_id,
    jobIds: [job.job_id, another.job_id],
    evaluationId: evaluations[0],
    evaluationIds: evaluations,
    datasetId: dataset.dataset_id,
    registeredModelId: stub.nouns.addModel(owner.id, { name: secret }).registered_model_id,
    nodeId: 'n1',
    keyId: (await make('tenant_user')).keyId,
    // Of each type that there is, `node` is asked for below.
    id: 'nothing',
    ids: ['nothing'],
  })
  store.close()
  await eventually(
    () => owner.graphql('{ jobs { nodes { name } } evaluations { nodes { name } } }'),
    ({ data }) => data.jobs.nodes.length === 2 && data.evaluations.nodes.length === 2,
  )
})
afterAll(() => under?.close())

const authorization = (key: string | null): Record<string, string> => (key ? { authorization: `Bearer ${key}` } : {})

/** Asks a root field and answers all that came; of a subscription, the first message. */
async function ask(field: string, key: string | null, depth = 0, values = known): Promise<string> {
  const { query, variables, upload } = operationOn(schema, field, (name) => values[name], depth)
  const url = `${under.api.url}/graphql`
  if (upload) {
    const form = new FormData()
    form.set('operations', JSON.stringify({ query, variables }))
    form.set('map', JSON.stringify({ 0: [upload] }))
    form.set('0', new Blob(['{"text": "one"}\n']), 'one.jsonl')
    return (await fetch(url, { method: 'POST', headers: authorization(key), body: form })).text()
  }
  const accept = field.startsWith('Subscription.') ? 'text/event-stream' : 'application/json'
  const response = await fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json', accept, ...authorization(key) },
    body: JSON.stringify({ query, variables }),
  })
  return accept === 'application/json' ? response.text() : firstMessage(response)
}

/** Streams that only tell changes get some, of both tenants, until one was told. */
async function firstMessage(response: Response): Promise<string> {
  const timer = setInterval(() => {
    for (const { job_id = '' } of under.stub.jobs.values()) under.stub.change(job_id, {})
  }, 50)
  const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader()
  let text = ''
  try {
    while (reader && !/^data: .+$/m.test(text)) {
      const { done, value } = await reader.read()
      if (done) break
      text += value
    }
  } finally {
    clearInterval(timer)
    await reader?.cancel()
  }
  return text
}

/** The code that an answer of GraphQL was refused with: an error of the operation, or the answer of a mutation. */
const codeIn = (text: string): string | undefined => /"code":"([A-Z_]+)"/.exec(text)?.[1]

interface RestAnswer {
  status: number
  code: string | undefined
  text: string
}

/** Calls a route; of a stream, only its beginning. */
async function call({ method, path, body }: Pick<Route, 'method' | 'path' | 'body'>, key: string | null): Promise<RestAnswer> {
  const [, noun = ''] = path.split('/')
  const id = { jobs: known.jobId, evaluations: known.evaluationId, nodes: known.nodeId }[noun] ?? known.datasetId
  const response = await fetch(
    `${under.api.url}/v1/modules/scaimind${path.replace('{id}', String(id))}${body === 'bytes' ? '?name=one.jsonl' : ''}`,
    {
      method,
      headers: { ...authorization(key), ...(method === 'POST' ? { 'content-type': 'application/json' } : {}) },
      ...(method === 'POST' ? { body: body === 'bytes' ? '{"text": "one"}\n' : '{}' } : {}),
    },
  )
  const { status, headers } = response
  if (headers.get('content-type') === 'text/event-stream') return { status, code: undefined, text: await firstMessage(response) }
  const text = await response.text()
  return { status, code: (JSON.parse(text) as { error?: { code: string } }).error?.code, text }
}

const routeOf = (name: string) => routes.find(({ method, path }) => `${method} ${path}` === name) as Route
const mayDo = (held: readonly Permission[], needs: readonly Permission[]) => needs.length === 0 || needs.some((one) => held.includes(one))

describe('The table of who may', () => {
  it('has every root field of the schema once, and no other', () => {
    expect(fields.map(({ field }) => field).sort()).toEqual(rootFields(schema).sort())
  })

  it('has every route once, and no other', () => {
    expect(paths.map(({ route }) => route).sort()).toEqual(routes.map(({ method, path }) => `${method} ${path}`).sort())
  })

  it('asks for the permissions that the contract documents', () => {
    const needing = (permission: Permission) =>
      paths.filter(({ needs }) => (needs as readonly Permission[]).includes(permission)).map(({ route }) => route)
    expect(needing('scaimind:manage')).toEqual(
      expect.arrayContaining(['POST /jobs', 'POST /jobs/{id}/cancel', 'POST /jobs/{id}/retry', 'POST /data/validate', 'GET /data/cache']),
    )
    expect(needing('scaimind:evaluate')).toEqual(
      expect.arrayContaining(['POST /evaluations', 'GET /evaluations/{id}', 'GET /evaluations', 'POST /evaluations/{id}/cancel']),
    )
    expect(needing('scaimind:cluster_admin').sort()).toEqual([
      'DELETE /data/cache/{id}',
      'POST /nodes/{id}/drain',
      'POST /nodes/{id}/enable',
    ])
    expect(needing('scaimind:view').every((route) => route.startsWith('GET '))).toBe(true)
  })
})

describe('Over GraphQL, every root field', () => {
  it.each(fields)('$field answers those who may, and nobody else', async ({ field, needs }) => {
    const codes = await Promise.all(Object.keys(callers).map(async (name) => [name, codeIn(await ask(field, keys[name] ?? ''))]))
    const refused = Object.fromEntries(codes.map(([name, code]) => [name, code === denied]))
    expect(refused).toEqual(Object.fromEntries(Object.entries(callers).map(([name, held]) => [name, !mayDo(held, needs)])))
    expect(codeIn(await ask(field, null))).toBe('AUTH_TOKEN_MISSING')
  })
})

describe('Over REST, every route', () => {
  it.each(paths)('$route answers those who may, and nobody else', async ({ route, needs }) => {
    const answers = await Promise.all(
      Object.entries(callers).map(async ([name, held]) => ({ name, held, ...(await call(routeOf(route), keys[name] ?? '')) })),
    )
    for (const { name, held, code, status } of answers) {
      expect([name, code === denied, status === 403]).toEqual([name, !mayDo(held, needs), !mayDo(held, needs)])
    }
    expect(await call(routeOf(route), null)).toMatchObject({ status: 401, code: 'AUTH_TOKEN_MISSING' })
  })

  it.each(paths.filter(({ route }) => !route.startsWith('GET')))(
    '$route tells those who may not so, whatever they sent',
    async ({ route, needs }) => {
      const { method, path } = routeOf(route)
      const send = (name: string) =>
        fetch(`${under.api.url}/v1/modules/scaimind${path.replace('{id}', 'nothing')}?nonsense=1`, {
          method,
          headers: { authorization: `Bearer ${keys[name]}`, 'content-type': 'application/json' },
          body: method === 'DELETE' ? null : '{"nonsense',
        })
      for (const [name, held] of Object.entries(callers)) {
        expect([name, (await send(name)).status === 403]).toEqual([name, !mayDo(held, needs)])
      }
    },
  )

  it('only the health, the metrics and the description of the API need no key', async () => {
    const statuses = await Promise.all(
      ['/health', '/metrics', '/openapi.json', '/docs', '/jobs', '/nothing'].map(async (path) => [
        path,
        (await fetch(`${under.api.url}/v1/modules/scaimind${path}`)).status,
      ]),
    )
    expect(Object.fromEntries(statuses)).toEqual({
      '/health': 200,
      '/metrics': 200,
      '/openapi.json': 200,
      '/docs': 200,
      '/jobs': 401,
      '/nothing': 401,
    })
  })
})

describe('Another tenant, who may everything, with the ids of the owner’s things', () => {
  // Those who may have deleted the first.
  beforeAll(() => {
    known.registeredModelId = under.stub.nouns.addModel(owner.id, { name: secret }).registered_model_id
  })

  const globalIds = () =>
    Object.entries({
      Job: known.jobId,
      Evaluation: known.evaluationId,
      Dataset: known.datasetId,
      RegisteredModel: known.registeredModelId,
    }).map(([type, id]) => Buffer.from(`${type}:${id}`).toString('base64'))

  it.each(fields)('sees nothing of theirs in $field', async ({ field }) => {
    under.stub.addJob(other.id, { name: 'of the other' })
    const values = { ...known, id: globalIds()[0], ids: globalIds() }
    const text = await ask(field, other.key, 3, values)
    expect(text).not.toContain(secret)
    expect(text).not.toContain(owner.id)
  })

  it.each(paths)('sees nothing of theirs in $route', async ({ route }) => {
    const { text } = await call(routeOf(route), other.key)
    expect(text).not.toContain(secret)
    expect(text).not.toContain(owner.id)
  })

  it('would see them, if they were shown: the owner does', async () => {
    const seen: string[] = []
    for (const { field } of fields) {
      if (field.startsWith('Mutation.')) continue
      if ((await ask(field, owner.key, 3, { ...known, id: globalIds()[0], ids: globalIds() })).includes(secret)) seen.push(field)
    }
    for (const route of routes) if (route.method === 'GET' && (await call(route, owner.key)).text.includes(secret)) seen.push(route.path)
    expect(seen).toEqual(
      expect.arrayContaining(
        'Query.node Query.nodes Query.job Query.jobs Query.compareJobs Query.evaluation Query.evaluations Query.datasets Query.dataset Query.registeredModels Query.registeredModel Query.apiKeys'.split(
          ' ',
        ),
      ),
    )
    expect(seen).toEqual(
      expect.arrayContaining([
        'Subscription.jobUpdated',
        'Subscription.jobsUpdated',
        'Subscription.jobLogs',
        'Subscription.evaluationUpdated',
      ]),
    )
    expect(seen).toEqual(
      expect.arrayContaining(['/jobs', '/jobs/{id}', '/jobs/{id}/logs', '/evaluations/{id}', '/datasets', '/datasets/{id}']),
    )
  })

  it('changes nothing of theirs', async () => {
    const { jobs, nouns } = under.stub
    const ofTheOwner = async () => ({
      jobs: [...jobs.values()]
        .filter(({ tenant_id }) => tenant_id === owner.id)
        .map(({ job_id, status, name, labels, archived_at }) => ({ job_id, status, name, labels, archived_at })),
      datasets: nouns.datasets.filter(({ tenant_id }) => tenant_id === owner.id),
      models: nouns.models.filter(({ tenant_id }) => tenant_id === owner.id),
      keys: (await owner.graphql('{ apiKeys(first: 100) { nodes { keyId revokedAt } } }')).data.apiKeys.nodes,
    })
    const before = structuredClone(await ofTheOwner())
    expect([before.jobs.length, before.datasets.length, before.keys.length].every((count) => count > 1)).toBe(true)
    for (const { field } of fields) if (field.startsWith('Mutation.')) await ask(field, other.key)
    for (const route of routes) if (route.method !== 'GET') await call(route, other.key)
    expect(await ofTheOwner()).toEqual(before)
  })

  it('does not act for the owner by naming them', async () => {
    for (const grant of ['tenant_admin', 'partner_admin']) {
      const { key } = await under.tenant([grant])
      const headers = { ...authorization(key), 'x-scaigrid-tenant': owner.id }
      const response = await fetch(`${under.api.url}/v1/modules/scaimind/jobs`, { headers })
      expect([response.status, codeIn(await response.text())]).toEqual([403, denied])
    }
  })
})
