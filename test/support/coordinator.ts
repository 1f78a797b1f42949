import { randomBytes } from 'node:crypto'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { type Client, credentials, Metadata, type ServiceError, status } from '@grpc/grpc-js'
import { onTestFailed } from 'vitest'
import { readCoordinatorConfig } from '../../src/config.js'
import type { FieldProblem } from '../../src/contract/failure.js'
import { scaimindV1 } from '../../src/contract/proto.js'
import { type Coordinator, startCoordinator } from '../../src/coordinator/server.js'
import type { Job__Output } from '../../src/generated/proto/scaimind/v1/Job.js'
import type { JobEvent__Output } from '../../src/generated/proto/scaimind/v1/JobEvent.js'
import type { JobSpec } from '../../src/generated/proto/scaimind/v1/JobSpec.js'
import type { SubmitJobResponse__Output } from '../../src/generated/proto/scaimind/v1/SubmitJobResponse.js'
import { freshDatabase } from './database.js'
import { keptMarker } from './global-setup.js'
import { endAttempts } from './leftovers.js'
import { Service } from './service.js'

/** How a call was refused. */
export interface Refusal {
  code: string
  status: number
  message: string
  fields: FieldProblem[]
}

/** A coordinator for tests: in this process, or one of its own that can be killed. */
export interface TestCoordinator {
  dataDir: string
  databaseUrl: string
  secret: string
  port: number
  /** A tenant of its own. */
  tenant(id?: string): CoordinatorTenant
  /** Closes it and starts it again on the same port, database and folder; a process of its own is killed with SIGKILL. */
  restart(): Promise<void>
  /** Kills it with SIGKILL where it is a process of its own, else closes it; `start` begins its next life on the same port. */
  stop(): Promise<void>
  start(): Promise<void>
  close(): Promise<void>
}

/** Starts a coordinator on port 0 with a database and a data folder of its own. */
export async function startTestCoordinator(
  settings: Record<string, string> = {},
  { process: own = false, databaseUrl: given }: { process?: boolean; databaseUrl?: string } = {},
): Promise<TestCoordinator> {
  const dataDir = mkdtempSync(join(tmpdir(), 'scaimind-coordinator-'))
  const databaseUrl = given ?? (await freshDatabase('coordinator'))
  const secret = randomBytes(24).toString('hex')
  const env = {
    SCAIMIND_DATA_DIR: dataDir,
    COORDINATOR_DATABASE_URL: databaseUrl,
    SCAIMIND_API_SECRET: secret,
    SCAIMIND_ALLOW_CUSTOM_CODE: 'true',
    SCAIMIND_CPU_SLOTS: '4',
    SCAIMIND_STOP_GRACE_SECONDS: '5',
    SCAIMIND_LOG_LEVEL: 'warn',
    // Whether this machine has the trainer for real models is nothing that tests depend on.
    XDG_CACHE_HOME: dataDir,
    SCAIMIND_HF_ENDPOINT: '',
    ...settings,
  }
  const start = (port: number) => startCoordinator(readCoordinatorConfig({ ...env, SCAIMIND_COORDINATOR_PORT: String(port) }))
  let inside: Coordinator | undefined
  const service = own ? new Service('coordinator', env, join(dataDir, 'coordinator.log')) : undefined
  if (service) await service.start()
  else inside = await start(0)
  const port = service?.port ?? inside?.port ?? 0
  const clients: Client[] = []
  const stop = async () => {
    await inside?.close()
    await service?.kill()
  }
  const begin = async () => {
    if (service) await service.start()
    else inside = await start(port)
  }
  return {
    dataDir,
    databaseUrl,
    secret,
    port,
    tenant(id = `t-${randomBytes(6).toString('hex')}`) {
      const tenant = new CoordinatorTenant(id, { port, secret, dataDir })
      clients.push(tenant.jobs, tenant.cluster, tenant.evaluations, tenant.data, tenant.models)
      return tenant
    },
    async restart() {
      await stop()
      await begin()
    },
    stop,
    start: begin,
    async close() {
      for (const client of clients) client.close()
      await inside?.close()
      await service?.stop()
      await endAttempts(dataDir)
      if (!kept.has(dataDir)) rmSync(dataDir, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 })
    },
  }
}

const kept = new Set<string>()

/** In a test: where it fails, the data folder stays and its place is printed. */
export function keepOnFailure({ dataDir }: TestCoordinator): void {
  onTestFailed(() => {
    kept.add(dataDir)
    writeFileSync(join(tmpdir(), keptMarker), '')
    process.stderr.write(`Kept for a look: ${dataDir}\n`)
  })
}

/** One tenant, as a gRPC client sees the coordinator. */
export class CoordinatorTenant {
  readonly files: string
  readonly jobs
  readonly cluster
  readonly evaluations
  readonly data
  readonly models

  constructor(
    readonly id: string,
    readonly at: { port: number; secret: string; dataDir: string },
  ) {
    this.files = join(at.dataDir, 'tenants', id, 'files')
    const address = `127.0.0.1:${at.port}`
    const insecure = credentials.createInsecure()
    this.jobs = new scaimindV1.CoordinatorService(address, insecure)
    this.cluster = new scaimindV1.ClusterService(address, insecure)
    this.evaluations = new scaimindV1.EvaluationService(address, insecure)
    this.data = new scaimindV1.DataService(address, insecure)
    this.models = new scaimindV1.ModelService(address, insecure)
  }

  /** Metadata of a call by this tenant; another secret or tenant where given. */
  metadata(more: Record<string, string> = {}): Metadata {
    const metadata = new Metadata({ waitForReady: true })
    const entries = { 'x-api-secret': this.at.secret, 'x-tenant-id': this.id, 'x-user-id': 'ada', ...more }
    for (const [name, value] of Object.entries(entries)) if (value !== '') metadata.set(name, value)
    return metadata
  }

  /** Calls a method that answers once. */
  call<Answer>(method: string, request: object = {}, more: Record<string, string> = {}): Promise<Answer> {
    const client = [this.jobs, this.cluster, this.evaluations, this.data, this.models].find((candidate) => method in candidate)
    if (!client) throw new Error(`There is no method ${method}.`)
    return new Promise((resolve, reject) => {
      const run = (client as unknown as Record<string, (...args: unknown[]) => void>)[method]?.bind(client)
      run?.(request, this.metadata(more), (error: ServiceError | null, answer?: Answer) =>
        error ? reject(error) : resolve(answer as Answer),
      )
    })
  }

  /** The same for a call that is to be refused; answers how. */
  async refused(method: string, request: object = {}, more: Record<string, string> = {}): Promise<Refusal> {
    return await this.call(method, request, more).then(
      (answer) => {
        throw new Error(`${method} was accepted: ${JSON.stringify(answer)}`)
      },
      (error: unknown) => toRefusal(error),
    )
  }

  /** A stream of messages; it is cancelled when the loop over it is left. */
  stream<Message>(method: string, request: object, more: Record<string, string> = {}): AsyncGenerator<Message> {
    return this.streamOf('jobs', method, request, more)
  }

  /** The same of another service. */
  async *streamOf<Message>(
    service: 'jobs' | 'cluster',
    method: string,
    request: object,
    more: Record<string, string> = {},
  ): AsyncGenerator<Message> {
    const client = this[service] as unknown as Record<string, (...args: unknown[]) => AsyncIterable<Message> & { cancel(): void }>
    const call = client[method]?.call(this[service], request, this.metadata(more))
    if (!call) throw new Error(`There is no stream ${method}.`)
    try {
      yield* call
    } finally {
      call.cancel()
    }
  }

  /** Writes a file that the tenant's jobs may name; answers its path. */
  file(name: string, content: string): string {
    const path = join(this.files, name)
    mkdirSync(dirname(path), { recursive: true })
    writeFileSync(path, content)
    return path
  }

  /** A CUSTOM job that runs a Node script. */
  custom(script: string, more: Partial<JobSpec> & { training?: object } = {}): JobSpec {
    const { training, ...rest } = more
    const path = this.file('train.txt', 'some text\n')
    const custom_script_path = this.file(`script-${randomBytes(4).toString('hex')}.mjs`, script)
    return {
      name: 'custom',
      training_config: {
        training_type: 'SFT',
        base_model: { model_id: 'scaimind/byte-tiny' },
        framework: { type: 'CUSTOM', custom_script_path },
        ...training,
      },
      data_config: { sources: [{ path }] },
      resource_config: {},
      ...rest,
    }
  }

  /** Submits and answers the job's id. */
  async submit(spec: JobSpec, more: object = {}): Promise<string> {
    const { job } = await this.call<SubmitJobResponse__Output>('SubmitJob', { spec, ...more })
    if (!job) throw new Error('No job was answered.')
    return job.job_id
  }

  job(jobId: string): Promise<Job__Output> {
    return this.call('GetJob', { job_id: jobId })
  }

  /** Waits for the first event of the job, from its first on, that fits; throws where the job ends without one. A coordinator that is away is waited for. */
  async until(jobId: string, fits: string | ((event: JobEvent__Output) => boolean), after = ''): Promise<JobEvent__Output> {
    const isIt = typeof fits === 'string' ? ({ to_status }: JobEvent__Output) => to_status === fits : fits
    const seen: string[] = []
    for (let cursor = after, broken = 0; broken < 100; broken++) {
      try {
        for await (const event of this.stream<JobEvent__Output>('StreamJobEvents', { job_id: jobId, after: cursor })) {
          seen.push(`${event.to_status} (${event.message})`)
          cursor = event.cursor
          if (isIt(event)) return event
        }
        break
      } catch (error) {
        if ((error as ServiceError).code !== status.UNAVAILABLE) throw error
        await new Promise((later) => setTimeout(later, 100))
      }
    }
    throw new Error(`The event did not come: ${seen.join(', ')}`)
  }

  /** The statuses that a finished job went through. */
  async statuses(jobId: string): Promise<string[]> {
    const statuses: string[] = []
    for await (const { to_status } of this.stream<JobEvent__Output>('StreamJobEvents', { job_id: jobId })) {
      if (statuses.at(-1) !== to_status) statuses.push(to_status)
    }
    return statuses
  }
}

/** A refusal as the trailers tell it. */
export function toRefusal(error: unknown): Refusal {
  const { code, details, metadata } = error as ServiceError
  const fields = metadata?.get('scaimind-details-bin')[0]
  return {
    code: String(metadata?.get('scaimind-code')[0] ?? ''),
    status: code,
    message: details,
    fields: fields ? (JSON.parse(fields.toString()) as FieldProblem[]) : [],
  }
}
