import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type ApiUnderTest, startApiUnderTest, type TenantUnderTest } from '../../support/api.js'
import { type Browser, startChromium } from '../../support/chromium.js'
import { completed, expectEveryStepOnce, type Follow, knownJob, metricsDocument, startRelay } from './support.js'

let under: ApiUnderTest
let tenant: TenantUnderTest
let browser: Browser

beforeAll(async () => {
  under = await startApiUnderTest()
  tenant = await under.tenant()
  browser = await startChromium()
  // The browser may have to be installed.
}, 600_000)
afterAll(async () => {
  await browser?.close()
  await under?.close()
})

/** An EventSource can send no Authorization header: the relay adds it, as a reverse proxy that signs its users in. */
const signingRelay = () => startRelay(under.api.url, `authorization: Bearer ${tenant.key}`)

const graphqlAddress = (origin: string, query: string, jobId: string) =>
  `${origin}/graphql?${new URLSearchParams({ query, variables: JSON.stringify({ jobId }) })}`
const restAddress = (origin: string, jobId: string) => `${origin}/v1/modules/scaimind/jobs/${jobId}/metrics/stream`

// What pages do: no word of reconnecting, which is the browser's.
const openGraphql = (address: string) => `
  const source = new EventSource(${JSON.stringify(address)})
  source.addEventListener('next', ({ data }) => tell(data))
  source.addEventListener('complete', () => { source.close(); tell('complete') })`
const openRest = (address: string) => `
  const source = new EventSource(${JSON.stringify(address)})
  source.onmessage = ({ data }) => {
    if (data === '[DONE]') source.close()
    tell(data)
  }
  source.onerror = () => { if (source.readyState === EventSource.CLOSED) tell('refused') }`

describe('A browser’s EventSource', () => {
  it.each([
    ['the API’s own', false],
    ['another', true],
  ])('is told every step of a subscription once, on a page of %s origin: it goes on by itself', async (_whose, isForeign) => {
    const relay = await signingRelay()
    const site = isForeign ? await startRelay(under.api.url) : relay
    const page = await browser.open(`${site.url}/health`)
    const follow: Follow = (jobId, tell) =>
      new Promise((resolve, reject) => {
        const told = (text: string) => (text === 'complete' ? resolve() : tell(JSON.parse(text).data.jobMetrics))
        page.run(openGraphql(graphqlAddress(relay.url, metricsDocument, jobId)), told).catch(reject)
      })
    expect(await expectEveryStepOnce(under, tenant, relay, follow)).toMatchObject([completed])
    site.close()
    relay.close()
  })

  it('is told every step of the REST stream once: it goes on by itself', async () => {
    const relay = await signingRelay()
    const page = await browser.open(`${relay.url}/health`)
    const follow: Follow = (jobId, tell) =>
      new Promise((resolve, reject) => {
        const told = (text: string) => {
          if (text === '[DONE]') return resolve()
          const record = JSON.parse(text)
          tell({ __typename: 'MetricRecord', cursor: record.cursor, records: [record] })
        }
        page.run(openRest(restAddress(relay.url, jobId)), told).catch(reject)
      })
    expect(await expectEveryStepOnce(under, tenant, relay, follow)).toEqual([])
    relay.close()
  })

  it('is told our code in a message of GraphQL; of a refusal of REST a browser shows only that it is one', async () => {
    const relay = await signingRelay()
    const first = async (script: string) => {
      const page = await browser.open(`${relay.url}/health`)
      return new Promise<string>((resolve, reject) => page.run(script, resolve).catch(reject))
    }
    const message = await first(openGraphql(graphqlAddress(relay.url, metricsDocument, 'job_unknown')))
    expect(JSON.parse(message).errors).toMatchObject([{ extensions: { code: 'JOB_NOT_FOUND' } }])
    expect(await first(openRest(restAddress(relay.url, 'job_unknown')))).toBe('refused')
    relay.close()
  })

  it('stands beside fetch: a page of another origin runs a mutation with its own key', async () => {
    const jobId = await knownJob(under, tenant, { status: 'TRAINING' })
    const site = await startRelay(under.api.url)
    const page = await browser.open(`${site.url}/health`)
    const query = `mutation { pauseJob(jobId: "${jobId}") { ... on PauseJobSuccess { job { status } } } }`
    const request = {
      method: 'POST',
      headers: { authorization: `Bearer ${tenant.key}`, 'content-type': 'application/json' },
      body: JSON.stringify({ query }),
    }
    const answer = await new Promise<string>((resolve, reject) => {
      const script = `fetch('${under.api.url}/graphql', ${JSON.stringify(request)}).then((answer) => answer.text()).then(tell, (error) => tell(String(error)))`
      page.run(script, resolve).catch(reject)
    })
    expect(JSON.parse(answer)).toEqual({ data: { pauseJob: { job: { status: 'PAUSED' } } } })
    site.close()
  })
})
