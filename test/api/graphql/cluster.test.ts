import { createClient } from 'graphql-ws'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import WebSocket from 'ws'
import { toTimestamp } from '../../../src/contract/proto.js'
import { type ApiUnderTest, eventually, startApiUnderTest, type TenantUnderTest } from '../../support/api.js'

let under: ApiUnderTest

beforeAll(async () => {
  under = await startApiUnderTest()
})
afterAll(() => under?.close())
afterEach(() => under.stub.refusals.clear())

/** One subscription over a WebSocket of its own, read message by message. */
function follow<Data>(tenant: TenantUnderTest, query: string) {
  const client = createClient({
    url: `${under.api.url.replace('http', 'ws')}/graphql`,
    webSocketImpl: WebSocket,
    connectionParams: { apiKey: tenant.key },
    retryAttempts: 0,
  })
  const messages = client.iterate<Data>({ query })
  return {
    async next(): Promise<Data> {
      const { value } = await messages.next()
      if (!value?.data) throw new Error(JSON.stringify(value))
      return value.data
    },
    stop: () => client.dispose(),
  }
}

interface NodeMessage {
  clusterNodesUpdated: { nodeId: string; status: string; reason: string | null }
}
const nodesUpdated = 'subscription { clusterNodesUpdated { nodeId status reason } }'

describe('A node of the cluster', () => {
  it('is told with its GPUs and the tenant’s jobs on them', async () => {
    const tenant = await under.tenant()
    const { job_id } = under.stub.addJob(tenant.id, { name: 'mine' })
    await eventually(async () => (await under.database.job.findUnique({ where: { jobId: job_id } })) !== null)
    const gpu = { type: 'a100', memory_bytes: '85899345920' }
    const gpus = [
      {
        ...gpu,
        index: 0,
        allocated: true,
        job_id,
        utilization: 0.5,
        memory_used_bytes: '1024',
        power_watts: 250.5,
        temperature_celsius: 61,
      },
      { ...gpu, index: 1, allocated: true },
    ]
    under.stub.nouns.tellNode({ node_id: 'gpu1', hostname: 'gpu1', status: 'ONLINE', cpus: 8, memory_bytes: '1', gpus, job_ids: [job_id] })
    const query = `query ($id: ID!) { clusterNode(nodeId: $id) {
      id nodeId hostname status cpus cpusAllocated memoryBytes memoryAllocatedBytes lastHeartbeat reason jobIds jobs { name }
      gpus { index type memoryBytes memoryUsedBytes utilization powerWatts temperatureCelsius allocated jobId job { name } }
    } }`
    const { data } = await tenant.graphql(query, { id: 'gpu1' })
    expect(data.clusterNode).toMatchObject({
      nodeId: 'gpu1',
      jobs: [{ name: 'mine' }],
      gpus: [
        {
          index: 0,
          type: 'a100',
          memoryBytes: 85899345920,
          memoryUsedBytes: 1024,
          utilization: 0.5,
          powerWatts: 250.5,
          temperatureCelsius: 61,
          jobId: job_id,
          job: { name: 'mine' },
        },
        { index: 1, allocated: true, memoryUsedBytes: null, powerWatts: null, temperatureCelsius: null, jobId: null, job: null },
      ],
    })
    expect((await tenant.graphql(query, { id: data.clusterNode.id })).data.clusterNode.nodeId).toBe('gpu1')
  })

  it('that does not exist is not found, to read, drain or enable', async () => {
    const tenant = await under.tenant()
    const { data, errors } = await tenant.graphql('{ clusterNode(nodeId: "nowhere") { hostname } }')
    expect([data.clusterNode, errors?.[0]?.extensions.code]).toEqual([null, 'NODE_NOT_FOUND'])
    for (const mutation of ['drainNode', 'enableNode']) {
      const answer = await tenant.graphql(`mutation { it: ${mutation}(nodeId: "nowhere") { ... on RequestFailed { code } } }`)
      expect(answer.data.it).toEqual({ code: 'NODE_NOT_FOUND' })
    }
  })

  it('is drained with a reason and enabled again, by who administers the cluster', async () => {
    const tenant = await under.tenant()
    const drain = `mutation ($seconds: Int) { it: drainNode(nodeId: "n2", reason: "new disks", deadlineSeconds: $seconds, evict: true) {
      __typename ... on DrainNodeSuccess { node { nodeId status reason } } ... on InvalidInput { fields { path } } ... on Error { code }
    } }`
    expect((await tenant.graphql(drain, { seconds: 60 })).data.it).toMatchObject({
      node: { nodeId: 'n2', status: 'DRAINING', reason: 'new disks' },
    })
    expect(under.stub.requests.findLast(({ method }) => method === 'DrainNode')?.request).toEqual({
      node_id: 'n2',
      reason: 'new disks',
      deadline_seconds: 60,
      evict: true,
    })
    expect((await tenant.graphql(drain, { seconds: -1 })).data.it).toMatchObject({ fields: [{ path: 'deadlineSeconds' }] })
    const enable = 'mutation { it: enableNode(nodeId: "n2") { ... on EnableNodeSuccess { node { status reason } } ... on Error { code } } }'
    expect((await tenant.graphql(enable)).data.it).toEqual({ node: { status: 'ONLINE', reason: null } })
    const engineer = await under.tenant(['scaimind:view', 'scaimind:manage'])
    expect((await engineer.graphql(enable)).data.it).toEqual({ code: 'AUTHZ_PERMISSION_DENIED' })
  })

  it('is not drained in a dry run, which forecasts whom it hits, what is lost and when it will be free', async () => {
    const tenant = await under.tenant()
    const free_at = toTimestamp(new Date('2030-01-01T00:00:00Z'))
    const lost = { gpu_minutes_lost_with_checkpoints: 0, gpu_minutes_lost_without_checkpoints: 90 }
    const jobs = [{ job_id: 'job_a', attempt: 2, gpu_count: 4, ...lost, expected_end: free_at }, { ...lost }]
    under.stub.nouns.forecast = { jobs, ...lost, free_at }
    const before = under.stub.calls.get('DrainNode')
    const { data } = await tenant.graphql(`mutation { it: drainNode(nodeId: "n1", evict: true, dryRun: true) { ... on DrainNodeSuccess {
      node { nodeId status } forecast { gpuMinutesLostWithCheckpoints gpuMinutesLostWithoutCheckpoints freeAt freeAtIfEvicted
        jobs { jobId attempt gpuCount gpuMinutesLostWithCheckpoints gpuMinutesLostWithoutCheckpoints expectedEnd } }
    } ... on Error { code } } }`)
    const lostToo = { gpuMinutesLostWithCheckpoints: 0, gpuMinutesLostWithoutCheckpoints: 90 }
    expect(data.it).toEqual({
      node: { nodeId: 'n1', status: 'ONLINE' },
      forecast: {
        ...lostToo,
        freeAt: '2030-01-01T00:00:00.000Z',
        freeAtIfEvicted: null,
        jobs: [
          { jobId: 'job_a', attempt: 2, gpuCount: 4, ...lostToo, expectedEnd: '2030-01-01T00:00:00.000Z' },
          { jobId: null, attempt: 0, gpuCount: 0, ...lostToo, expectedEnd: null },
        ],
      },
    })
    expect(under.stub.calls.get('DrainNode')).toBe(before)
  })

  it('that was cordoned says so, with the failures that it is blamed for', async () => {
    const tenant = await under.tenant()
    const blame = { job_id: 'job_a', attempt: 1, time: toTimestamp(new Date('2030-01-01T00:00:00Z')), message: 'Xid 79' }
    under.stub.nouns.tellNode({
      node_id: 'gpu2',
      status: 'DRAINING',
      reason: 'Cordoned: …',
      cordoned: true,
      evidence: [blame, { attempt: 1 }],
    })
    const { data } = await tenant.graphql(
      '{ clusterNode(nodeId: "gpu2") { status reason cordoned reportedOnly evidence { jobId attempt time message } } }',
    )
    expect(data.clusterNode).toEqual({
      status: 'DRAINING',
      reason: 'Cordoned: …',
      cordoned: true,
      reportedOnly: false,
      evidence: [
        { jobId: 'job_a', attempt: 1, time: '2030-01-01T00:00:00.000Z', message: 'Xid 79' },
        { jobId: null, attempt: 1, time: null, message: null },
      ],
    })
  })
})

describe('clusterNodesUpdated', () => {
  it('tells every node as it is, then each change; two readers of a tenant cost one stream', async () => {
    const tenant = await under.tenant()
    const known = under.stub.nouns.nodes.size
    const reader = follow<NodeMessage>(tenant, nodesUpdated)
    const first = new Set<string>()
    while (first.size < known) first.add((await reader.next()).clusterNodesUpdated.nodeId)
    const before = under.stub.calls.get('StreamClusterEvents') ?? 0
    const second = follow<NodeMessage>(tenant, nodesUpdated)
    const again = new Set<string>()
    while (again.size < known) again.add((await second.next()).clusterNodesUpdated.nodeId)
    expect(again).toEqual(first)

    under.stub.nouns.tellNode({ node_id: 'n1', reason: 'hot' })
    const change = { clusterNodesUpdated: { nodeId: 'n1', status: 'ONLINE', reason: 'hot' } }
    expect([await reader.next(), await second.next()]).toEqual([change, change])
    expect(under.stub.calls.get('StreamClusterEvents')).toBe(before)
    await Promise.all([reader.stop(), second.stop()])
  })

  it('goes on after the last change where its stream broke', async () => {
    const tenant = await under.tenant()
    const reader = follow<NodeMessage>(tenant, nodesUpdated)
    for (let i = 0; i < under.stub.nouns.nodes.size; i++) await reader.next()
    under.stub.breakStreams('StreamClusterEvents')
    under.stub.nouns.tellNode({ node_id: 'n1', reason: 'told while it was away' })
    expect((await reader.next()).clusterNodesUpdated).toMatchObject({ nodeId: 'n1', reason: 'told while it was away' })
    expect(under.stub.requests.findLast(({ method }) => method === 'StreamClusterEvents')?.request).toMatchObject({
      after: expect.stringMatching(/./),
    })
    await reader.stop()
  })

  it('tells its readers where the coordinator has no such stream', async () => {
    const tenant = await under.tenant()
    under.stub.refusals.set('StreamClusterEvents', { code: 'NOT_IMPLEMENTED', message: 'This coordinator cannot.' })
    const reader = follow<NodeMessage>(tenant, nodesUpdated)
    await expect(reader.next()).rejects.toThrow('NOT_IMPLEMENTED')
    await reader.stop()
  })
})

it('queueUpdated tells the queue as it is, then as it changes, with what jobs wait for', async () => {
  const tenant = await under.tenant()
  const { job_id } = under.stub.addJob(tenant.id)
  const reader = follow<{ queueUpdated: object }>(
    tenant,
    'subscription { queueUpdated { depth depths { queue jobs } entries { jobId position blockers { kind need } } stale } }',
  )
  expect((await reader.next()).queueUpdated).toMatchObject({ depth: 0, entries: [], stale: false })
  under.stub.nouns.tellQueue({
    depth: 1,
    depths: [{ queue: 'default', priority: 5, jobs: 1 }],
    entries: [{ job_id, queue: 'default', position: 1, blockers: [{ kind: 'GPUS', need: 4 }] }],
  })
  expect((await reader.next()).queueUpdated).toEqual({
    depth: 1,
    depths: [{ queue: 'default', jobs: 1 }],
    entries: [{ jobId: job_id, position: 1, blockers: [{ kind: 'GPUS', need: 4 }] }],
    stale: false,
  })
  await reader.stop()
})
