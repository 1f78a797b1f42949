import { createServer, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { beforeEach, describe, expect, it, onTestFinished } from 'vitest'
import { newHub } from '../../../src/coordinator/data/hub.js'

const commits = ['a', 'b'].map((digit) => digit.repeat(40))
let now = 0
beforeEach(() => {
  now = Date.parse('2030-01-01')
})

/** A hub with one model, one data set, and one model that wants a token; what it was asked is kept. A mirror gives no codes of its errors. */
async function startHub({ isMirror = false } = {}) {
  const asked: string[] = []
  let head = 0
  const answerTo = ({ url = '', headers }: IncomingMessage) => {
    if (url.startsWith('/api/models/org/gated/') && headers.authorization !== 'Bearer hf_right') return 401
    return /^\/api\/(models\/org\/(model|gated)|datasets\/org\/data)\/revision\/(main|v1%2F2)$/.test(url) ? 200 : 404
  }
  const server = createServer((request, response) => {
    asked.push(request.url ?? '')
    const status = answerTo(request)
    const code =
      status === 404 && !isMirror ? { 'x-error-code': request.url?.includes('/org/model/') ? 'RevisionNotFound' : 'RepoNotFound' } : {}
    response.writeHead(status, { 'content-type': 'application/json', ...code }).end(JSON.stringify({ sha: commits[head] }))
  })
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening))
  onTestFinished(() => void server.close())
  const endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  return { endpoint, asked, moveOn: () => head++, close: () => server.close() }
}

const hubAt = (endpoint: string) => newHub({ endpoint, timeoutMs: 500, clock: () => new Date(now) })
const model = { kind: 'models', id: 'org/model', revision: '' } as const

describe('A hub', () => {
  it('says which commit a branch is now, of models and of data sets', async () => {
    const { endpoint, asked } = await startHub()
    const hub = hubAt(`${endpoint}/`)
    expect(await hub.commitOf(model, {})).toBe(commits[0])
    expect(await hub.commitOf({ ...model, revision: 'v1/2' }, {})).toBe(commits[0])
    expect(await hub.commitOf({ kind: 'datasets', id: 'org/data', revision: 'main' }, {})).toBe(commits[0])
    expect(asked).toHaveLength(3)
  })

  it('is asked once a minute', async () => {
    const { endpoint, asked, moveOn } = await startHub()
    const hub = hubAt(endpoint)
    await Promise.all([hub.commitOf(model, {}), hub.commitOf(model, {})])
    moveOn()
    now += 59_000
    expect(await hub.commitOf(model, {})).toBe(commits[0])
    expect(asked).toHaveLength(1)
    now += 1000
    expect(await hub.commitOf(model, {})).toBe(commits[1])
  })

  it('is not asked for a commit', async () => {
    const { endpoint, asked } = await startHub()
    expect(await hubAt(endpoint).commitOf({ ...model, revision: commits[1] ?? '' }, {})).toBe(commits[1])
    expect(asked).toEqual([])
  })

  it('is shown the token of the job, and what it told to one token is told to no other', async () => {
    const { endpoint } = await startHub()
    const hub = hubAt(endpoint)
    const gated = { ...model, id: 'org/gated' }
    expect(await hub.commitOf(gated, { HF_TOKEN: 'hf_right' })).toBe(commits[0])
    expect(await hub.commitOf(gated, { HF_TOKEN: 'hf_wrong' })).toBeNull()
    expect(await hub.commitOf(gated, {})).toBeNull()
  })

  it('tells nothing of what it does not have, nor while it is away, nor where there is none', async () => {
    const { endpoint, close } = await startHub()
    expect(await hubAt(endpoint).commitOf({ ...model, id: 'org/none' }, {})).toBeNull()
    close()
    expect(await hubAt(endpoint).commitOf(model, {})).toBeNull()
    expect(await hubAt('').commitOf(model, {})).toBeNull()
  })

  it('is not asked where the job says so, and none of the job’s own is', async () => {
    const [ours, theirs] = [await startHub(), await startHub()]
    const hub = hubAt(ours.endpoint)
    expect(await hub.commitOf(model, { HF_HUB_OFFLINE: '1' })).toBeNull()
    expect(await hub.commitOf(model, { HF_ENDPOINT: theirs.endpoint })).toBeNull()
    expect(await hub.commitOf(model, { HF_ENDPOINT: `${ours.endpoint}/` })).toBe(commits[0])
    expect(theirs.asked).toEqual([])
  })

  it('says what it does not have: no such repository or revision, or none without the right token', async () => {
    const { endpoint, asked } = await startHub()
    const hub = hubAt(endpoint)
    expect(await hub.isMissing(model, {})).toBe(false)
    expect(await hub.isMissing({ ...model, id: 'org/none' }, {})).toBe(true)
    expect(await hub.isMissing({ ...model, revision: 'v3' }, {})).toBe(true)
    expect(await hub.isMissing({ ...model, id: 'org/gated' }, {})).toBe(true)
    expect(await hub.isMissing({ ...model, id: 'org/gated' }, { HF_TOKEN: 'hf_right' })).toBe(false)
    expect(asked).toHaveLength(5)
    await hub.commitOf(model, {})
    expect(asked).toHaveLength(5)
  })

  it('that is away, or does not know the question, says nothing is missing', async () => {
    const none = { ...model, id: 'org/none' }
    const { endpoint, close } = await startHub({ isMirror: true })
    expect(await hubAt(endpoint).isMissing(none, {})).toBe(false)
    close()
    expect(await hubAt(endpoint).isMissing({ ...none, revision: 'v3' }, {})).toBe(false)
    expect(await hubAt('').isMissing(none, {})).toBe(false)
  })
})
