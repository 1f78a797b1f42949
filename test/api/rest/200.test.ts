import { describe, expect, it } from 'vitest'
import type { CoordinatorListing } from '../../../src/api/operations/job-types.js'
import { toTimestamp } from '../../../src/contract/proto.js'
import type { Cluster__Output } from '../../../src/generated/proto/scaimind/v1/Cluster.js'
import { job, jobsInMemory, offTheWire, openDoor } from './support.js'

const at = new Date('2027-01-31T08:00:00Z')

describe('Every answer', () => {
  it('is the documented envelope, with the request id in the header too', async () => {
    const door = await openDoor({ jobs: jobsInMemory([]) })
    const { status, headers, body } = await door.send('GET', '/jobs')
    expect(status).toBe(200)
    expect(headers.get('content-type')).toBe('application/json; charset=utf-8')
    expect(body).toEqual({
      status: 'ok',
      data: { jobs: [], next_page_token: '', total_count: 0 },
      meta: { request_id: headers.get('x-request-id') },
    })
    expect(body.meta.request_id).toMatch(/^req_[0-9a-z]{26}$/)
  })

  it("keeps the caller's request id where it is a valid one", async () => {
    const door = await openDoor()
    const idOf = async (id: string) => (await door.send('GET', '/jobs', { headers: { 'x-request-id': id } })).body.meta.request_id
    expect(await idOf('trace-1:a_b.c')).toBe('trace-1:a_b.c')
    expect(await idOf('two words')).toMatch(/^req_/)
    expect(await idOf('x'.repeat(129))).toMatch(/^req_/)
  })
})

describe('Reading jobs', () => {
  it('answers the full state of one job, asked of the coordinator', async () => {
    const one = job()
    const asked: unknown[] = []
    const get = async (...[, , options]: unknown[]) => {
      asked.push(options)
      return { job: one, syncedAt: at, stale: false }
    }
    const door = await openDoor({ jobs: jobsInMemory([], { get }) })
    const { body } = await door.send('GET', `/jobs/${one.job_id}`)
    expect(asked).toEqual([{ consistency: 'COORDINATOR' }])
    expect(body.data).toMatchObject({
      job_id: one.job_id,
      status: 'TRAINING',
      training_config: { training_type: 'LORA', environment: { HF_TOKEN: '***' } },
      created_at: '2027-01-31T08:00:00.250Z',
      finished_at: null,
    })
    expect(body.meta).toEqual({ request_id: body.meta.request_id })
  })

  it('lists by status, type, labels, page and order', async () => {
    let listing: CoordinatorListing | undefined
    const one = job()
    const listFromCoordinator = async (_caller: unknown, asked: CoordinatorListing) => {
      listing = asked
      return { jobs: [one], nextPageToken: 'more', totalCount: 21, stale: false, syncedAt: null }
    }
    const door = await openDoor({ jobs: jobsInMemory([], { listFromCoordinator }) })
    const query = 'status=QUEUED&status=TRAINING&training_type=LORA&label.team=search&page_size=1&page_token=t&order_by=-priority'
    const { body } = await door.send('GET', `/jobs?${query}`)
    expect(listing).toEqual({
      statuses: ['QUEUED', 'TRAINING'],
      trainingTypes: ['LORA'],
      labels: { team: 'search' },
      pageSize: 1,
      pageToken: 't',
      orderBy: '-priority',
    })
    expect(body.data).toMatchObject({ jobs: [{ job_id: one.job_id }], next_page_token: 'more', total_count: 21 })
  })

  it('says that the answer is from the cache, and how old it is, while the coordinator is away', async () => {
    const one = job()
    const door = await openDoor({
      jobs: jobsInMemory([], {
        get: async () => ({ job: one, syncedAt: at, stale: true }),
        listFromCoordinator: async () => ({ jobs: [one], nextPageToken: '', totalCount: 1, stale: true, syncedAt: at }),
      }),
      cluster: { queue: async () => ({ value: offTheQueue, stale: true, syncedAt: at }) },
    })
    for (const path of ['/jobs', `/jobs/${one.job_id}`, '/queue']) {
      const { status, body } = await door.send('GET', path)
      expect({ status, meta: body.meta }).toEqual({
        status: 200,
        meta: { request_id: body.meta.request_id, stale: true, synced_at: '2027-01-31T08:00:00.000Z' },
      })
    }
  })

  it('answers the newest metrics at a point in time, and zeros before the first', async () => {
    const latest = { cursor: 'c', step: '12', epoch: 0.5, time: toTimestamp(at), attempt: 1, values: { loss: 2.5 } }
    const answers = [
      { series: [], latest },
      { series: [], latest: null },
    ]
    const one = job()
    const metrics = async () => answers.shift() ?? { series: [], latest: null }
    const door = await openDoor({ jobs: jobsInMemory([], { metrics }) })
    const path = `/jobs/${one.job_id}/metrics`
    expect((await door.send('GET', path)).body.data).toEqual({
      step: 12,
      epoch: 0.5,
      time: '2027-01-31T08:00:00.000Z',
      attempt: 1,
      values: { loss: 2.5 },
    })
    expect((await door.send('GET', path)).body.data).toEqual({ step: 0, epoch: 0, time: null, attempt: 0, values: {} })
  })

  it('answers the history of metrics where names, a first step or a number of points are asked for', async () => {
    const asked: unknown[] = []
    const series = [{ name: 'loss', points: [{ step: '1', value: 3, time: toTimestamp(at), attempt: 1 }] }]
    const metrics = async (...[, , options]: unknown[]) => {
      asked.push(options)
      return { series, latest: null }
    }
    const door = await openDoor({ jobs: jobsInMemory([], { metrics }) })
    const { body } = await door.send('GET', `/jobs/${job().job_id}/metrics?names=loss&names=eval_loss&since_step=0&max_points=100`)
    expect(asked).toEqual([{ names: ['loss', 'eval_loss'], sinceStep: 0, maxPoints: 100 }])
    expect(body.data).toEqual({
      series: [{ name: 'loss', points: [{ step: 1, value: 3, time: '2027-01-31T08:00:00.000Z', attempt: 1 }] }],
    })
  })

  it('answers checkpoints and the state history', async () => {
    const checkpoint = {
      checkpoint_id: 'ckpt_1',
      job_id: 'job_1',
      attempt: 1,
      step: '20',
      path: '/o',
      bytes: '9',
      created_at: null,
      metrics: {},
    }
    const event = { cursor: 'e1', sequence: '4', type: 'STATUS_CHANGED', from_status: 'QUEUED', to_status: 'SCHEDULING', job: job() }
    const door = await openDoor({
      jobs: jobsInMemory([], { checkpoints: async () => [checkpoint], events: async () => [offTheWire('StreamJobEvents', event)] }),
    })
    const path = `/jobs/${job().job_id}`
    expect((await door.send('GET', `${path}/checkpoints`)).body.data).toMatchObject({
      checkpoints: [{ checkpoint_id: 'ckpt_1', step: 20, bytes: 9 }],
    })
    expect((await door.send('GET', `${path}/events`)).body.data).toMatchObject({
      events: [{ cursor: 'e1', sequence: 4, type: 'STATUS_CHANGED', to_status: 'SCHEDULING', job: { status: 'TRAINING' } }],
    })
  })
})

describe('Controlling a job', () => {
  it.each([
    ['cancel', 'CANCELLED'],
    ['pause', 'PAUSED'],
    ['resume', 'QUEUED'],
    ['retry', 'QUEUED'],
  ])('%s answers the full job as it is then, with a body and without', async (action, status) => {
    const one = job()
    const door = await openDoor({ jobs: jobsInMemory([one]) })
    const path = `/jobs/${one.job_id}/${action}`
    const bare = await door.send('POST', path)
    expect(bare).toMatchObject({ status: 200, body: { data: { job_id: one.job_id, status, name: 'dictionary' } } })
    Object.assign(one, { status: 'TRAINING' })
    expect((await door.send('POST', path, { body: {} })).status).toBe(200)
  })

  it('passes on what the body says', async () => {
    const one = job()
    const asked: Record<string, unknown> = {}
    const note =
      (name: string) =>
      async (...[, , options]: unknown[]) => {
        asked[name] = options
        return { job: one, syncedAt: at, stale: false }
      }
    const door = await openDoor({
      jobs: jobsInMemory([one], { cancel: note('cancel'), pause: note('pause'), resume: note('resume'), retry: note('retry') }),
    })
    const post = (action: string, body: unknown, headers = {}) => door.send('POST', `/jobs/${one.job_id}/${action}`, { body, headers })
    await post('cancel', { reason: 'too dear', save_checkpoint: true })
    await post('pause', { save_checkpoint: false })
    await post('resume', { checkpoint_id: 'ckpt_1' })
    await post('retry', { from_checkpoint: 'ckpt_2' }, { 'idempotency-key': 'k 1' })
    expect(asked).toEqual({
      cancel: { reason: 'too dear', saveCheckpoint: true },
      pause: { saveCheckpoint: false },
      resume: { checkpointId: 'ckpt_1' },
      retry: { fromCheckpoint: 'ckpt_2', idempotencyKey: 'k 1' },
    })
  })
})

const offTheQueue = { depth: 1, depths: [{ queue: 'default', priority: 5, jobs: 1 }], entries: [] }

describe('The cluster', () => {
  const node = {
    node_id: 'gpu01',
    hostname: 'gpu01',
    status: 'ONLINE' as const,
    gpus: [{ index: 0, type: 'a100', memory_bytes: '85899345920', job_id: '', allocated: false }],
    cpus: 8,
    cpus_allocated: 0,
    memory_bytes: '5000',
    memory_allocated_bytes: '0',
    last_heartbeat: toTimestamp(at),
    reason: '',
    job_ids: [],
    reported_only: false,
    cordoned: false,
    evidence: [],
  }
  const fresh =
    <Value>(value: Value) =>
    async () => ({ value, syncedAt: at, stale: false })

  it('answers totals, nodes, one node and the queue', async () => {
    const totals = offTheWire<Cluster__Output>('GetCluster', { nodes_total: 1, gpus_total: 4, engine: 'local' })
    const door = await openDoor({ cluster: { cluster: fresh(totals), nodes: fresh([node]), node: fresh(node), queue: fresh(offTheQueue) } })
    const dataOf = async (path: string) => (await door.send('GET', path)).body.data
    expect(await dataOf('/cluster')).toMatchObject({ nodes_total: 1, gpus_total: 4, engine: 'local' })
    expect(await dataOf('/nodes')).toMatchObject({ nodes: [{ node_id: 'gpu01', status: 'ONLINE' }] })
    expect(await dataOf('/nodes/gpu01')).toMatchObject({
      gpus: [{ type: 'a100', memory_bytes: 85899345920, utilization: null }],
      last_heartbeat: '2027-01-31T08:00:00.000Z',
    })
    expect(await dataOf('/queue')).toMatchObject({ depth: 1, depths: [{ queue: 'default', priority: 5, jobs: 1 }] })
  })

  it('takes what the path names as it was before it was escaped', async () => {
    let asked = ''
    const find = async (_caller: unknown, id: string) => {
      asked = id
      return { value: node, syncedAt: at, stale: false }
    }
    const door = await openDoor({ cluster: { node: find } })
    await door.send('GET', '/nodes/rack%2F1%20a')
    expect(asked).toBe('rack/1 a')
  })
})
