import { createClient } from 'graphql-sse'
import { createConnection } from 'mariadb'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type ApiUnderTest, eventually, startApiUnderTest, type TenantUnderTest } from '../support/api.js'

let under: ApiUnderTest
beforeAll(async () => {
  under = await startApiUnderTest()
})
afterAll(() => under?.close())

const list = '{ jobs { nodes { jobId name revision syncedAt stale } } }'
interface Listed {
  jobId: string
  name: string
  revision: number
  syncedAt: string
  stale: boolean
}
const read = async (tenant: TenantUnderTest): Promise<Listed[]> => (await tenant.graphql(list)).data.jobs.nodes
const first = async (tenant: TenantUnderTest) => (await read(tenant))[0]

/** A tenant with a job that is in its list. */
async function tenantWithJob() {
  const tenant = await under.tenant()
  const { job_id: jobId } = under.stub.addJob(tenant.id, { name: 'change 0' })
  await eventually(
    () => read(tenant),
    (jobs) => jobs.length === 1,
  )
  return { tenant, jobId }
}

describe('The same list, again and again', () => {
  it('is never older than an event that this API has told, however many read while it changes', async () => {
    const { tenant, jobId } = await tenantWithJob()
    const client = createClient({ url: `${under.api.url}/graphql`, headers: { authorization: `Bearer ${tenant.key}` } })
    let told = 0
    const subscription = client.iterate<{ jobsUpdated: { job: { revision: number } } }>({
      query: 'subscription { jobsUpdated { job { revision } } }',
    })
    const following = (async () => {
      for await (const { data } of subscription) {
        told = Math.max(told, data?.jobsUpdated.job.revision ?? 0)
        if (told >= 60) return
      }
    })()
    await under.stub.until(() => under.stub.openStreams('StreamJobEvents') > 0)
    let reads = 0
    const stale: string[] = []
    async function reader() {
      while (told < 60) {
        const knownBefore = told
        const job = await first(tenant)
        reads++
        if ((job?.revision ?? 0) < knownBefore) stale.push(`${job?.revision} after ${knownBefore} was told`)
        if (job?.stale) stale.push('stale while the coordinator is there')
      }
    }
    const changing = (async () => {
      for (let change = 1; told < 60; change++) {
        under.stub.change(jobId, { name: `change ${change}` })
        await new Promise((done) => setImmediate(done))
        await first(tenant)
      }
    })()
    await Promise.all([following, changing, reader(), reader(), reader(), reader()])
    expect(stale).toEqual([])
    expect(reads).toBeGreaterThan(60)
  })

  it('shows one’s own change at once', async () => {
    const { tenant, jobId } = await tenantWithJob()
    for (let round = 0; round < 20; round++) {
      await first(tenant)
      const before = (await first(tenant))?.revision ?? 0
      await tenant.graphql('mutation ($id: ID!, $p: Int) { updateJob(jobId: $id, priority: $p) { __typename } }', {
        id: jobId,
        p: round % 10,
      })
      expect((await first(tenant))?.revision).toBeGreaterThan(before)
    }
  })

  it('while an event that was received cannot be applied no answer passes for fresh without it', async () => {
    const { tenant, jobId } = await tenantWithJob()
    const url = new URL(under.databaseUrl)
    const lock = await createConnection({
      host: url.hostname,
      port: Number(url.port),
      user: url.username,
      password: url.password,
      database: url.pathname.slice(1),
    })
    await lock.query('BEGIN')
    await lock.query('SELECT * FROM follow_state FOR UPDATE')
    await first(tenant)
    under.stub.change(jobId, { name: 'held up' })
    // Reads from before it is received may pass; from the first that says so on, all must.
    await eventually(
      () => first(tenant),
      (job) => job?.stale === true,
    )
    expect((await Promise.all(Array.from({ length: 5 }, () => first(tenant)))).map((job) => job?.stale)).toEqual(Array(5).fill(true))
    const waiting = first(tenant)
    await lock.query('ROLLBACK')
    expect(await waiting).toMatchObject({ name: 'held up', stale: false })
    expect(await first(tenant)).toMatchObject({ name: 'held up', stale: false })
    await lock.end()
  })

  it('says that it is stale as soon as the coordinator is gone, though it was asked for just before, and when each copy was made', async () => {
    const { tenant } = await tenantWithJob()
    const before = await first(tenant)
    expect(before).toMatchObject({ stale: false })
    under.stub.stop()
    const gone = await eventually(
      () => first(tenant),
      (job) => job?.stale === true,
      1000,
    )
    expect(gone?.syncedAt).toBe(before?.syncedAt)
    await under.stub.start()
    await eventually(
      () => first(tenant),
      (job) => job?.stale === false,
    )
  })

  it('is another for each tenant and for those who may not', async () => {
    const { tenant } = await tenantWithJob()
    const other = await under.tenant()
    const nobody = await under.tenant(['scaimind:evaluate'])
    expect((await read(tenant)).length).toBe(1)
    expect(await read(other)).toEqual([])
    expect((await nobody.graphql(list)).errors?.[0]?.extensions.code).toBe('AUTHZ_PERMISSION_DENIED')
  })
})
