import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Duplex } from 'node:stream'
import type { MethodDefinition } from '@grpc/grpc-js'
import { type Logger, pino } from 'pino'
import { onTestFinished } from 'vitest'
import { type Permission, permissions } from '../../../src/api/auth/permissions.js'
import type { Caller, Credentials, Viewer } from '../../../src/api/auth/viewer.js'
import { allow, type UseCaseName } from '../../../src/api/auth/who-may.js'
import { deliveries } from '../../../src/api/delivery/deliveries.js'
import { Feed, type Listener, type Outcome, type Reader } from '../../../src/api/live/feed.js'
import type { ApiKeyOperations } from '../../../src/api/operations/api-keys.js'
import type { ArtefactOperations } from '../../../src/api/operations/artefact-types.js'
import type { ClusterOperations } from '../../../src/api/operations/cluster-types.js'
import type { DataOperations } from '../../../src/api/operations/data-types.js'
import type { EvaluationOperations } from '../../../src/api/operations/evaluation-types.js'
import type { Operations } from '../../../src/api/operations/index.js'
import { parseJobSpec } from '../../../src/api/operations/job-spec.js'
import type { JobOperations } from '../../../src/api/operations/job-types.js'
import type { ModelOperations } from '../../../src/api/operations/model-types.js'
import { restRouter } from '../../../src/api/rest/router.js'
import { Failure, JobStateConflict } from '../../../src/contract/failure.js'
import { newJobId, parseJobId, type TenantId } from '../../../src/contract/ids.js'
import { scaimindV1, toTimestamp } from '../../../src/contract/proto.js'
import { isTerminal, type JobStatus } from '../../../src/contract/statuses.js'
import type { Job, Job__Output } from '../../../src/generated/proto/scaimind/v1/Job.js'
import { expectDocumentedAnswer } from '../../support/documented.js'

/** What the coordinator answers to a method, as it comes off the wire. */
export function offTheWire<Answer>(method: string, answer: object): Answer {
  const { CoordinatorService, ClusterService, EvaluationService, DataService, ModelService } = scaimindV1
  const definition = [CoordinatorService, ClusterService, EvaluationService, DataService, ModelService]
    .map(({ service }) => (service as Record<string, MethodDefinition<object, object>>)[method])
    .find(Boolean)
  if (!definition) throw new Error(`There is no method ${method}.`)
  return definition.responseDeserialize(definition.responseSerialize(answer)) as Answer
}

/** A job as the coordinator sends it. */
export function job(fields: Job = {}): Job__Output {
  return offTheWire('GetJob', {
    job_id: newJobId(),
    tenant_id: 'acme',
    revision: 3,
    status: 'TRAINING',
    name: 'dictionary',
    labels: { team: 'search' },
    training_config: { training_type: 'LORA', base_model: { model_id: 'scaimind/byte-tiny' }, environment: { HF_TOKEN: '***' } },
    created_at: toTimestamp(new Date('2027-01-31T08:00:00.250Z')),
    ...fields,
  })
}

/** The use cases over jobs in memory; a test puts others in the place of those that it is about. */
export function jobsInMemory(jobs: Job__Output[], others: Partial<JobOperations> = {}): JobOperations {
  function own({ viewer }: Caller, useCase: UseCaseName, id: string): Job__Output {
    allow(viewer, useCase)
    const found = jobs.find(({ job_id, tenant_id }) => job_id === parseJobId(id) && tenant_id === viewer.tenantId)
    if (!found) throw new Failure('JOB_NOT_FOUND', `There is no job ${JSON.stringify(id)}.`)
    return found
  }
  const view = (found: Job__Output) => ({ job: found, syncedAt: new Date(), stale: false })
  const moved = (found: Job__Output, status: JobStatus) => view(Object.assign(found, { status }))

  const inMemory: Partial<JobOperations> = {
    get: async (caller, id) => view(own(caller, 'readJobs', id)),
    async submit(caller, { spec }) {
      allow(caller.viewer, 'submitJob')
      const made = job({ ...parseJobSpec(spec), tenant_id: caller.viewer.tenantId, status: 'QUEUED' })
      jobs.push(made)
      return { view: view(made), plan: null, message: 'Waits for resources.', reused: false, estimatedWaitSeconds: 4.5 }
    },
    async listFromCoordinator(caller, { pageSize = 20 }) {
      allow(caller.viewer, 'readJobs')
      const all = jobs.filter(({ tenant_id }) => tenant_id === caller.viewer.tenantId)
      return { jobs: all.slice(0, pageSize), nextPageToken: '', totalCount: all.length, stale: false, syncedAt: null }
    },
    async cancel(caller, id) {
      const found = own(caller, 'controlJobs', id)
      if (isTerminal(found.status as JobStatus)) throw new JobStateConflict('cancel', found.status, ['TRAINING', 'QUEUED'])
      return moved(found, 'CANCELLED')
    },
    pause: async (caller, id) => moved(own(caller, 'controlJobs', id), 'PAUSED'),
    resume: async (caller, id) => moved(own(caller, 'controlJobs', id), 'QUEUED'),
    retry: async (caller, id) => moved(own(caller, 'controlJobs', id), 'QUEUED'),
  }
  return onlyThese({ ...inMemory, ...others })
}

/** A use case that the test did not expect to be called fails it. */
const onlyThese = <All extends object>(some: Partial<All>): All =>
  new Proxy(some, {
    get(target, name) {
      return (
        Reflect.get(target, name) ??
        (() => {
          throw new Error(`${String(name)} was not expected`)
        })
      )
    },
  }) as All

/** The keys that the fake knows: who they belong to and what they may. */
const keys: Record<string, { tenantId: string; permissions: readonly Permission[] }> = {
  sgk_all: { tenantId: 'acme', permissions },
  sgk_viewer: { tenantId: 'acme', permissions: ['scaimind:view'] },
  sgk_nobody: { tenantId: 'acme', permissions: [] },
  sgk_other: { tenantId: 'umbrella', permissions },
}

async function identify({ authorization, tenant }: Credentials): Promise<Viewer> {
  if (!authorization) throw new Failure('AUTH_TOKEN_MISSING', 'Send the header `Authorization: Bearer sgk_…` with an API key.')
  const key = keys[authorization.replace('Bearer ', '')]
  if (!key) throw new Failure('AUTH_TOKEN_INVALID', 'The key is unknown, revoked or expired.')
  return {
    tenantId: (tenant ?? key.tenantId) as TenantId,
    userId: 'u1',
    credential: 'API_KEY',
    keyId: 'key_1',
    keyName: 'test',
    homeTenantId: key.tenantId as TenantId,
    expiresAt: null,
    subjectToken: null,
    roles: [],
    permissions: new Set(key.permissions),
    ended: new AbortController().signal,
  }
}

interface Envelope {
  status: string
  // biome-ignore lint/suspicious/noExplicitAny: tests read answers as callers do, by name
  data: any
  error: { code: string; message: string; retry_after?: number; details?: { field: string; message: string }[] }
  meta: { request_id: string; stale?: boolean; synced_at?: string }
}

/** An answer with its parsed envelope. */
export interface RestAnswer {
  status: number
  headers: Headers
  body: Envelope
}

/** The shim behind a real HTTP server, as callers see it. */
export interface Door {
  port: number
  /** Takes a connection that the test holds both ends of. */
  connect(socket: Duplex): void
  /** Kept when the first request has come in. */
  arrived: Promise<unknown>
  /** Kept when everything that came in so far is answered. */
  answered(): Promise<unknown>
  /** What the shim logged. */
  logged: Record<string, unknown>[]
  /** Sends a request; a body that is not text goes as JSON. */
  send(
    method: string,
    path: string,
    options?: { key?: string | null; body?: unknown; headers?: Record<string, string> },
  ): Promise<RestAnswer>
  /** The same where the answer is not read here. */
  open(path: string, options?: { key?: string; headers?: Record<string, string>; signal?: AbortSignal }): Promise<Response>
}

interface DoorOptions {
  jobs?: JobOperations
  cluster?: Partial<ClusterOperations>
  evaluations?: Partial<EvaluationOperations>
  data?: Partial<DataOperations>
  bodyBytesMax?: number
  heartbeatMs?: number
  identify?: (credentials: Credentials) => Promise<Viewer>
}

/** Opens the shim on a free port for one test. */
export async function openDoor({
  jobs = jobsInMemory([]),
  cluster = {},
  evaluations = {},
  data = {},
  ...rest
}: DoorOptions = {}): Promise<Door> {
  const logged: Record<string, unknown>[] = []
  const log: Logger = pino({}, { write: (text: string) => void logged.push(JSON.parse(text)) })
  const operations: Operations = {
    jobs,
    cluster: onlyThese<ClusterOperations>(cluster),
    evaluations: onlyThese<EvaluationOperations>(evaluations),
    data: onlyThese<DataOperations>(data),
    models: onlyThese<ModelOperations>({}),
    artefacts: onlyThese<ArtefactOperations>({}),
    apiKeys: onlyThese<ApiKeyOperations>({}),
  }
  const told = deliveries({ slowMs: 1000, stuckMs: 60_000 })
  const router = restRouter({ operations, identify, admission: { stream: () => () => {} }, deliveries: told, log, ...rest })
  const answers: Promise<void>[] = []
  const server = createServer((request, response) => answers.push(router(request, response))).listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(() => {
    server.closeAllConnections()
    server.close()
  })
  const { port } = server.address() as AddressInfo
  const base = `http://127.0.0.1:${port}/v1/modules/scaimind`
  return {
    port,
    connect: (socket) => void server.emit('connection', socket),
    arrived: once(server, 'request'),
    answered: () => Promise.all(answers),
    logged,
    async send(method, path, { key = 'sgk_all', body, headers = {} } = {}) {
      const response = await fetch(`${base}${path}`, {
        method,
        headers: {
          ...(key === null ? {} : { authorization: `Bearer ${key}` }),
          ...(body === undefined ? {} : { 'content-type': 'application/json' }),
          ...headers,
        },
        ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
      })
      const answer = (await response.json()) as Envelope
      expectDocumentedAnswer(method, path, response.status, answer)
      return { status: response.status, headers: response.headers, body: answer }
    },
    open: (path, { key = 'sgk_all', headers = {}, signal } = {}) =>
      fetch(`${base}${path}`, { headers: { authorization: `Bearer ${key}`, ...headers }, ...(signal ? { signal } : {}) }),
  }
}

/** A live stream that a test feeds. */
export interface Fed<Message> {
  feed: Feed<Message>
  tell(message: Message): void
  /** Ends it, or breaks it with a fault. */
  end(fault?: unknown): void
  /** Kept when its reader has left. */
  left: Promise<void>
  /** How many messages were taken. */
  taken(): number
}

/** Makes a live stream; messages told before they are taken wait. */
export function fed<Message extends object>(...first: Message[]): Fed<Message> {
  const waiting = [...first]
  let outcome: Outcome | undefined
  let taken = 0
  const listeners = new Set<Listener>()
  const wakeAll = () => {
    for (const listener of listeners) listener.wake()
  }
  let resolveLeft = () => {}
  const left = new Promise<void>((resolve) => {
    resolveLeft = resolve
  })
  const open = (listener: Listener): Reader => {
    listeners.add(listener)
    return {
      take() {
        const message = waiting.shift()
        if (message) taken++
        return message
      },
      get outcome() {
        return waiting.length > 0 ? undefined : outcome
      },
      waitedMs: () => 0,
      leave() {
        listeners.delete(listener)
        resolveLeft()
      },
    }
  }
  return {
    feed: new Feed(open, (message) => message as Message),
    tell(message) {
      waiting.push(message)
      wakeAll()
    },
    end(fault) {
      outcome = fault ? { type: 'failed', failure: fault } : { type: 'over' }
      wakeAll()
    },
    left,
    taken: () => taken,
  }
}

/** The smallest submission that is complete. */
export const submission = () => ({
  name: 'dictionary',
  training_config: {
    training_type: 'LORA',
    base_model: { model_id: 'scaimind/byte-tiny' },
    hyperparameters: { max_steps: 60, learning_rate: 0.001 },
  },
  data_config: { sources: [{ path: '/data/train.jsonl' }] },
  resource_config: { gpu_count: 0 },
})
