import { join } from 'node:path'
import {
  type ClientDuplexStream,
  credentials,
  status as grpc,
  loadPackageDefinition,
  makeClientConstructor,
  type ServiceClientConstructor,
} from '@grpc/grpc-js'
import { loadSync } from '@grpc/proto-loader'
import { service as healthService } from 'grpc-health-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { readCoordinatorConfig } from '../../../src/config.js'
import { scaimindV1 } from '../../../src/contract/proto.js'
import { startCoordinator } from '../../../src/coordinator/server.js'
import type { BatchGetJobsResponse__Output } from '../../../src/generated/proto/scaimind/v1/BatchGetJobsResponse.js'
import type { ClusterNode__Output } from '../../../src/generated/proto/scaimind/v1/ClusterNode.js'
import type { ListJobsResponse__Output } from '../../../src/generated/proto/scaimind/v1/ListJobsResponse.js'
import type { Queue__Output } from '../../../src/generated/proto/scaimind/v1/Queue.js'
import { type CoordinatorTenant, startTestCoordinator, type TestCoordinator } from '../../support/coordinator.js'

let coordinator: TestCoordinator
let ada: CoordinatorTenant
let bob: CoordinatorTenant
let job: string
const secretOfBob = 'a secret for bob alone'

beforeAll(async () => {
  coordinator = await startTestCoordinator({ SCAIMIND_TENANT_SECRETS: `bob=${secretOfBob}` })
  ada = coordinator.tenant()
  bob = coordinator.tenant('bob')
  job = await ada.submit(ada.custom('console.log(1)'))
  await ada.until(job, 'COMPLETED')
})
afterAll(async () => {
  await coordinator?.close()
})

describe('The secret', () => {
  it.each(['', 'wrong', 'a secret for bob alone!'])('%j is refused', async (secret) => {
    const refusal = await ada.refused('GetJob', { job_id: job }, { 'x-api-secret': secret })
    expect(refusal).toMatchObject({ code: 'AUTH_TOKEN_INVALID', status: grpc.UNAUTHENTICATED })
  })

  it("of one tenant opens that tenant's calls only", async () => {
    const withOwn = { 'x-api-secret': secretOfBob }
    expect(await bob.call('ListJobs', {}, withOwn)).toMatchObject({ jobs: [] })
    expect((await ada.refused('ListJobs', {}, withOwn)).code).toBe('AUTH_TOKEN_INVALID')
    expect((await bob.refused('ListJobs', {}, { ...withOwn, 'x-tenant-id': '*' })).code).toBe('AUTH_TOKEN_INVALID')
  })
})

describe('The tenant', () => {
  it.each(['', '../etc', 'a b', '-x'])('%j is refused', async (tenant) => {
    const refusal = await ada.refused('GetJob', { job_id: job }, { 'x-tenant-id': tenant })
    expect(refusal).toMatchObject({ code: 'INVALID_ARGUMENT', fields: [{ path: 'x-tenant-id' }] })
  })

  it('* is for listings, batches, events and the cluster only', async () => {
    const all = { 'x-tenant-id': '*' }
    expect((await ada.call<ListJobsResponse__Output>('ListJobs', {}, all)).jobs.map(({ job_id }) => job_id)).toContain(job)
    expect((await ada.call<BatchGetJobsResponse__Output>('BatchGetJobs', { job_ids: [job] }, all)).jobs).toHaveLength(1)
    expect(await ada.call('GetCluster', {}, all)).toMatchObject({ engine: 'local', nodes_total: 1 })
    for (const [method, request] of [
      ['GetJob', { job_id: job }],
      ['CancelJob', { job_id: job }],
      ['SubmitJob', {}],
    ] as const) {
      expect((await ada.refused(method, request, all)).code).toBe('INVALID_ARGUMENT')
    }
  })

  it("sees nothing of another tenant's jobs", async () => {
    for (const method of [
      'GetJob',
      'CancelJob',
      'PauseJob',
      'ResumeJob',
      'RetryJob',
      'UpdateJob',
      'ArchiveJob',
      'ListCheckpoints',
      'GetJobMetrics',
      'ReadJobLogs',
      'ListJobEvents',
    ]) {
      expect(await bob.refused(method, { job_id: job })).toMatchObject({ code: 'JOB_NOT_FOUND', status: grpc.NOT_FOUND })
    }
    expect((await bob.call<BatchGetJobsResponse__Output>('BatchGetJobs', { job_ids: [job] })).jobs).toEqual([])
    expect((await bob.call<ListJobsResponse__Output>('ListJobs')).total_count).toBe('0')
    await expect(bob.stream('StreamJobLogs', { job_id: job }).next()).rejects.toMatchObject({ code: grpc.NOT_FOUND })
    await expect(bob.stream('StreamJobEvents', { job_id: job }).next()).rejects.toMatchObject({ code: grpc.NOT_FOUND })
  })
})

describe('Every method', () => {
  it('of the contract is answered, and breaks nothing', async () => {
    for (const service of [scaimindV1.EvaluationService, scaimindV1.DataService, scaimindV1.ClusterService]) {
      for (const [method, { requestStream, responseStream }] of Object.entries(service.service)) {
        if (requestStream || responseStream) continue
        const answer = await ada.call(method).catch((error: { code: number }) => error.code)
        expect(answer, method).not.toBe(grpc.INTERNAL)
      }
    }
  })
})

describe('Beside its own services', () => {
  const address = () => `127.0.0.1:${coordinator.port}`

  it('it tells that it serves', async () => {
    const Health = makeClientConstructor(healthService, 'Health')
    const client = new Health(address(), credentials.createInsecure())
    const answer = await new Promise((resolve, reject) => {
      client.check?.({ service: '' }, (error: unknown, value: unknown) => (error ? reject(error) : resolve(value)))
    })
    client.close()
    expect(answer).toEqual({ status: 'SERVING' })
  })

  it('it tells tools which services there are', async () => {
    const folder = join(import.meta.dirname, '../../../node_modules/@grpc/reflection/build/proto/grpc/reflection/v1')
    const { grpc: packages } = loadPackageDefinition(loadSync(join(folder, 'reflection.proto'))) as unknown as {
      grpc: { reflection: { v1: { ServerReflection: ServiceClientConstructor } } }
    }
    const client = new packages.reflection.v1.ServerReflection(address(), credentials.createInsecure())
    const call = client.ServerReflectionInfo?.() as ClientDuplexStream<object, { listServicesResponse: { service: { name: string }[] } }>
    call.write({ listServices: '' })
    const { value } = await call[Symbol.asyncIterator]().next()
    call.end()
    client.close()
    const names = (value.listServicesResponse.service as { name: string }[]).map(({ name }) => name)
    expect(names).toEqual(expect.arrayContaining(['scaimind.v1.CoordinatorService', 'scaimind.v1.ClusterService']))
  })
})

describe('The cluster', () => {
  it('has nodes, which can be drained and enabled', async () => {
    const { nodes } = await ada.call<{ nodes: ClusterNode__Output[] }>('ListNodes')
    const [node] = nodes
    expect(node).toMatchObject({ status: 'ONLINE', cpus: 4, job_ids: [] })
    const node_id = node?.node_id
    expect(await ada.call('DrainNode', { node_id, reason: 'dust' })).toMatchObject({ status: 'DRAINING', reason: 'dust' })
    const id = await ada.submit(ada.custom('console.log(1)'))
    const queue = await ada.call<Queue__Output>('GetQueue')
    expect(queue).toMatchObject({ depth: 1, depths: [{ queue: 'default', priority: 5, jobs: 1 }], entries: [{ job_id: id, position: 1 }] })
    expect(await bob.call<Queue__Output>('GetQueue')).toMatchObject({ depth: 1, entries: [{ job_id: '', name: '', waiting_for: '' }] })
    expect(await ada.call('EnableNode', { node_id })).toMatchObject({ status: 'ONLINE', reason: '' })
    await ada.until(id, 'COMPLETED')
    expect(await ada.refused('GetNode', { node_id: 'nowhere' })).toMatchObject({ code: 'NODE_NOT_FOUND' })
  })
})

describe('The start', () => {
  const settings = {
    COORDINATOR_DATABASE_URL: 'mysql://nobody:x@127.0.0.1:1/none',
    SCAIMIND_API_SECRET: 'a secret of enough characters',
    SCAIMIND_LOG_LEVEL: 'silent',
  }
  it('is refused on an address that is not loopback, without TLS', async () => {
    await expect(startCoordinator(readCoordinatorConfig({ ...settings, SCAIMIND_COORDINATOR_HOST: '0.0.0.0' }))).rejects.toThrow(
      /^SCAIMIND_COORDINATOR_HOST: .*TLS/,
    )
  })
  it('is refused where Slurm is to run the jobs, and its commands are not there', async () => {
    const lost = { ...settings, SCAIMIND_ENGINE: 'slurm', SCAIMIND_SLURM_PATH: '/no/such/folder' }
    await expect(startCoordinator(readCoordinatorConfig(lost))).rejects.toThrow(
      /^SCAIMIND_SLURM_PATH: Slurm's commands cannot be run from .*ENOENT/,
    )
  })
  it('is refused on a database that is not migrated, naming its setting', async () => {
    const COORDINATOR_DATABASE_URL = Object.assign(new URL(coordinator.databaseUrl), { pathname: '/mysql' }).href
    const unmigrated = { ...settings, SCAIMIND_COORDINATOR_PORT: '0', COORDINATOR_DATABASE_URL }
    await expect(startCoordinator(readCoordinatorConfig(unmigrated))).rejects.toThrow(/^COORDINATOR_DATABASE_URL: .*scaimind migrate/)
  })
  it('is refused on a port that is taken, in one line that names the setting', async () => {
    const taken = { ...settings, SCAIMIND_COORDINATOR_PORT: String(coordinator.port) }
    await expect(startCoordinator(readCoordinatorConfig(taken))).rejects.toThrow(/^SCAIMIND_COORDINATOR_PORT: .* is taken.*$/)
  })
})
