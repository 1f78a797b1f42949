import { once } from 'node:events'
import { type ClientRequest, type IncomingMessage, request } from 'node:http'
import { text } from 'node:stream/consumers'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { type ApiUnderTest, startApiUnderTest, type TenantUnderTest } from '../../support/api.js'

let under: ApiUnderTest
const uploadBytesMax = 40 * 1024 * 1024

beforeAll(async () => {
  under = await startApiUnderTest({ SCAIMIND_MAX_UPLOAD_BYTES: String(uploadBytesMax) })
})
afterAll(() => under?.close())
afterEach(() => {
  under.stub.refusals.clear()
  under.stub.nouns.uploads.length = 0
  under.stub.nouns.holdsUploads = false
  under.stub.changed()
})

const upload = `mutation ($file: Upload!, $name: String, $format: String) { it: uploadDataset(file: $file, name: $name, format: $format) {
  __typename ... on UploadDatasetSuccess { dataset { datasetId name bytes } } ... on InvalidInput { fields { path message } } ... on Error { code message }
} }`

/** A multipart request as the specification has it, by fetch. */
async function send(
  tenant: TenantUnderTest,
  {
    query = upload,
    variables = {},
    map = '{"0": ["variables.file"]}',
    files = { '0': 'one\ntwo\n' },
  }: {
    query?: string
    variables?: object
    map?: string
    files?: Record<string, string>
  } = {},
) {
  const form = new FormData()
  form.set('operations', JSON.stringify({ query, variables: { file: null, ...variables } }))
  form.set('map', map)
  for (const [name, content] of Object.entries(files)) form.set(name, new Blob([content]), 'records.jsonl')
  const response = await fetch(`${under.api.url}/graphql`, {
    method: 'POST',
    headers: { authorization: `Bearer ${tenant.key}` },
    body: form,
  })
  // biome-ignore lint/suspicious/noExplicitAny: read as callers do, by name
  return { status: response.status, body: (await response.json()) as any }
}

const boundary = 'a-boundary'
/** The same by hand, so that the file can be written bit by bit. */
function begin(
  tenant: TenantUnderTest,
  headers: Record<string, string> = {},
): { out: ClientRequest; answer: Promise<{ status: number; body: string }> } {
  const out = request(`${under.api.url}/graphql`, {
    method: 'POST',
    headers: { authorization: `Bearer ${tenant.key}`, 'content-type': `multipart/form-data; boundary=${boundary}`, ...headers },
  })
  out.on('error', () => {})
  const field = (name: string, value: string) => `--${boundary}\r\ncontent-disposition: form-data; name="${name}"\r\n\r\n${value}\r\n`
  out.write(field('operations', JSON.stringify({ query: upload, variables: { file: null } })))
  out.write(field('map', '{"0": ["variables.file"]}'))
  out.write(`--${boundary}\r\ncontent-disposition: form-data; name="0"; filename="big.jsonl"\r\n\r\n`)
  const answer = once(out, 'response').then(async ([response]: IncomingMessage[]) => ({
    status: response?.statusCode ?? 0,
    body: response ? await text(response) : '',
  }))
  return { out, answer }
}

describe('uploadDataset', () => {
  it('sends the file on to the coordinator and answers the data set, named as the file or as asked', async () => {
    const tenant = await under.tenant()
    const { status, body } = await send(tenant)
    expect([status, body.data.it]).toMatchObject([200, { dataset: { name: 'records.jsonl', bytes: 8 } }])
    expect(under.stub.nouns.uploads).toMatchObject([{ description: { name: 'records.jsonl', format: '' }, text: 'one\ntwo\n' }])
    const named = await send(tenant, { variables: { name: 'mine', format: 'txt' } })
    expect(named.body.data.it.dataset.name).toBe('mine')
    expect(under.stub.nouns.uploads[1]?.description).toEqual({ name: 'mine', format: 'txt' })
  })

  it('is refused by the line as soon as the coordinator says so, while the file is still coming', async () => {
    const tenant = await under.tenant()
    const { out, answer } = begin(tenant)
    out.write('{"text": "fine"}\nBAD\n')
    // The file is never ended: only a refusal can answer.
    const { status, body } = await answer
    expect([status, JSON.parse(body).data.it]).toMatchObject([
      200,
      { __typename: 'InvalidInput', fields: [{ path: 'content[2]', message: 'Line 2: this is not a usable record.' }] },
    ])
    out.destroy()
  })

  it('takes the file no faster than the coordinator does, and holds little of it', async () => {
    const tenant = await under.tenant()
    under.stub.nouns.holdsUploads = true
    const { out, answer } = begin(tenant)
    const block = Buffer.alloc(1024 * 1024, 'x\n')
    let sent = 0
    let stopped = false
    // Writes while the connection takes it: it stops taking long before the file is whole.
    while (sent < 32 && !stopped) {
      sent++
      if (!out.write(block))
        stopped = await Promise.race([once(out, 'drain').then(() => false), new Promise<true>((done) => setTimeout(done, 500, true))])
    }
    expect(stopped).toBe(true)
    expect(sent).toBeLessThan(24)
    under.stub.nouns.holdsUploads = false
    under.stub.changed()
    while (sent++ < 32) if (!out.write(block)) await once(out, 'drain')
    out.end(`\r\n--${boundary}--\r\n`)
    expect(JSON.parse((await answer).body).data.it.dataset.bytes).toBeGreaterThanOrEqual(31 * 1024 * 1024)
  })

  it('over the limit is refused, announced or not', async () => {
    const tenant = await under.tenant()
    const announced = begin(tenant, { 'content-length': String(uploadBytesMax + 1) })
    const refused = await announced.answer
    expect([refused.status, JSON.parse(refused.body).errors[0].extensions.code]).toEqual([413, 'PAYLOAD_TOO_LARGE'])
    announced.out.destroy()

    const { out, answer } = begin(tenant)
    const block = Buffer.alloc(1024 * 1024, 'x\n')
    let isAnswered = false
    void answer.finally(() => {
      isAnswered = true
    })
    for (let sent = 0; sent < 60 && !isAnswered; sent++) {
      if (!out.write(block)) await Promise.race([once(out, 'drain'), answer])
    }
    expect(JSON.parse((await answer).body).data.it).toMatchObject({ __typename: 'RequestFailed', code: 'PAYLOAD_TOO_LARGE' })
    out.destroy()
  })

  it('that its sender breaks off is broken off at the coordinator too', async () => {
    const tenant = await under.tenant()
    const { out, answer } = begin(tenant)
    answer.catch(() => {})
    out.write('{"text": "one"}\n')
    await under.stub.until(() => (under.stub.nouns.uploads[0]?.bytes ?? 0) > 0)
    const before = under.stub.nouns.datasets.length
    out.destroy()
    await under.stub.until(() => under.stub.nouns.uploads[0]?.brokenOff === true)
    expect(under.stub.nouns.datasets.length).toBe(before)
  })

  it('needs a part for the file, the permission, and a coordinator', async () => {
    const tenant = await under.tenant()
    expect((await send(tenant, { files: {} })).body.data.it).toMatchObject({ __typename: 'RequestFailed', code: 'VALIDATION_ERROR' })
    expect((await send(await under.tenant(['tenant_viewer']))).body.data.it).toMatchObject({ code: 'AUTHZ_PERMISSION_DENIED' })
    under.stub.refusals.set('UploadDataset', { code: 'COORDINATOR_UNAVAILABLE', message: 'away' })
    expect((await send(tenant)).body.data.it).toMatchObject({ code: 'COORDINATOR_UNAVAILABLE' })
    const json = await tenant.graphql(upload, { file: 'text' })
    expect(json.errors?.[0]).toMatchObject({ message: expect.stringContaining('multipart'), extensions: { code: 'VALIDATION_ERROR' } })
  })
})

describe('A multipart request', () => {
  it('with several files runs each in its order', async () => {
    const tenant = await under.tenant()
    const query = `mutation ($a: Upload!, $b: Upload!) {
      a: uploadDataset(file: $a, name: "a") { ... on UploadDatasetSuccess { dataset { name bytes } } }
      b: uploadDataset(file: $b, name: "b") { ... on UploadDatasetSuccess { dataset { name bytes } } }
    }`
    const map = '{"0": ["variables.a"], "1": ["variables.b"]}'
    const { body } = await send(tenant, { query, variables: { a: null, b: null }, map, files: { '0': 'x', '1': 'yy' } })
    expect(body.data).toEqual({ a: { dataset: { name: 'a', bytes: 1 } }, b: { dataset: { name: 'b', bytes: 2 } } })
  })

  it('in another order answers instead of waiting for ever', async () => {
    const tenant = await under.tenant()
    const query = `mutation ($a: Upload!, $b: Upload!) {
      b: uploadDataset(file: $b, name: "b") { ... on UploadDatasetSuccess { dataset { bytes } } }
      a: uploadDataset(file: $a, name: "a") { ... on Error { code message } }
    }`
    const map = '{"0": ["variables.a"], "1": ["variables.b"]}'
    const { body } = await send(tenant, { query, variables: { a: null, b: null }, map, files: { '0': 'x'.repeat(1_000_000), '1': 'yy' } })
    expect(body.data).toMatchObject({
      b: { dataset: { bytes: 2 } },
      a: { code: 'VALIDATION_ERROR', message: expect.stringContaining('order') },
    })
  })

  it.each([
    ['a map that is none', { map: '[]' }, 'map'],
    ['a place that is not null', { map: '{"0": ["variables.other"]}' }, 'variables.other'],
    ['a place outside the variables', { map: '{"0": ["query"]}' }, 'map'],
  ])('with %s is refused', async (_name, request, said) => {
    const { status, body } = await send(await under.tenant(), request)
    expect([status, body.errors[0]]).toMatchObject([
      400,
      { message: expect.stringContaining(said), extensions: { code: 'VALIDATION_ERROR' } },
    ])
  })

  it('without a file is an operation like any other', async () => {
    const { status, body } = await send(await under.tenant(), { query: '{ viewer { userId } }', map: '{}', files: {} })
    expect([status, body.data.viewer.userId]).toEqual([200, expect.stringContaining('user-of')])
  })

  it('without operations, or broken off, is refused with 400', async () => {
    const tenant = await under.tenant()
    for (const body of [
      `--${boundary}\r\ncontent-disposition: form-data; name="map"\r\n\r\n{}\r\n--${boundary}--\r\n`,
      `--${boundary}\r\n`,
    ]) {
      const headers = { authorization: `Bearer ${tenant.key}`, 'content-type': `multipart/form-data; boundary=${boundary}` }
      const response = await fetch(`${under.api.url}/graphql`, { method: 'POST', headers, body })
      expect([response.status, await response.json()]).toMatchObject([400, { errors: [{ extensions: { code: 'VALIDATION_ERROR' } }] }])
    }
  })
})
