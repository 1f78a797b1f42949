import { EventEmitter, once } from 'node:events'
import {
  Metadata,
  Server,
  ServerCredentials,
  type ServerUnaryCall,
  type ServerWritableStream,
  type sendUnaryData,
  status,
} from '@grpc/grpc-js'
import { type Code, codes } from '../../src/contract/codes.js'
import { formatCursor, parseCursor } from '../../src/contract/cursor.js'
import { newJobId } from '../../src/contract/ids.js'
import { fromTimestamp, scaimindV1, toTimestamp } from '../../src/contract/proto.js'
import { isTerminal, type JobStatus, logLevels, terminalStatuses } from '../../src/contract/statuses.js'
import type { Blocker } from '../../src/generated/proto/scaimind/v1/Blocker.js'
import type { Checkpoint } from '../../src/generated/proto/scaimind/v1/Checkpoint.js'
import type { Job } from '../../src/generated/proto/scaimind/v1/Job.js'
import type { JobEvent } from '../../src/generated/proto/scaimind/v1/JobEvent.js'
import type { JobPlan } from '../../src/generated/proto/scaimind/v1/JobPlan.js'
import type { LogRecord } from '../../src/generated/proto/scaimind/v1/LogRecord.js'
import type { MetricRecord } from '../../src/generated/proto/scaimind/v1/MetricRecord.js'
import type { ReadJobLogsResponse } from '../../src/generated/proto/scaimind/v1/ReadJobLogsResponse.js'
import { StubNouns } from './stub-nouns.js'

/** A refusal as the coordinator sends it. */
export interface Refusal {
  code: Code
  message: string
  fields?: { path: string; message: string }[]
  retryAfter?: number
  /** Where the raw gRPC status is another than the code's. */
  status?: status
}

interface Journal<Item> {
  records: Item[]
  end: { status: JobStatus; reason: string } | undefined
}

// biome-ignore lint/suspicious/noExplicitAny: requests of every method
type AnyRequest = any
type Call = ServerUnaryCall<AnyRequest, unknown>
type Stream = ServerWritableStream<{ after: string; job_id: string; from_start: boolean; until: string }, unknown>

/** A coordinator in memory, on the real protocol, whose faults a test chooses. */
export class StubCoordinator {
  readonly secret = 'stub-secret-0123456789'
  port = 0
  readonly jobs = new Map<string, Job>()
  readonly events: JobEvent[] = []
  readonly metrics = new Map<string, Journal<MetricRecord>>()
  readonly logs = new Map<string, Journal<LogRecord>>()
  /** What a method answers instead; stays until deleted. */
  readonly refusals = new Map<string, Refusal>()
  /** Methods that never answer. */
  readonly silent = new Set<string>()
  /** Methods that answer only when `release` is called. */
  readonly held = new Set<string>()
  /** Calls and streams so far, by method. */
  readonly calls = new Map<string, number>()
  /** Requests as they came, newest last. */
  readonly requests: { method: string; request: unknown; metadata: Metadata }[] = []
  /** Why jobs wait, by job. */
  readonly blockers = new Map<string, Blocker[]>()
  /** When the step before a job's first was taken, in ms. */
  firstStepAt = 1_700_000_000_000
  /** Lines that ReadJobLogs looks at for one page with a pattern. */
  scanBudget = 1000
  /** Checkpoints, newest first, by job; one that is not here has one. */
  readonly checkpoints = new Map<string, Checkpoint[]>()
  private readonly plans = new Map<string, { tenant: string; items: { job_id: string; revision: unknown }[] }>()
  /** What a dry run answers, over what it says by itself. */
  plan: Partial<JobPlan> = {}
  /** Cursors at or before this number are told to have expired; by job. */
  readonly expired = new Map<string, number>()
  /** Evaluations, nodes and data. */
  readonly nouns = new StubNouns(this)
  readonly bell = new EventEmitter().setMaxListeners(0)
  private readonly open = new Map<Stream, string>()
  private server: Server | undefined

  /** Listens; again on the same port after `stop`. */
  async start(): Promise<this> {
    const server = new Server({ 'grpc.max_receive_message_length': -1 })
    server.addService(scaimindV1.CoordinatorService.service, this.coordinatorMethods() as never)
    server.addService(scaimindV1.ClusterService.service, { ...this.clusterMethods(), ...this.nouns.clusterMethods() } as never)
    server.addService(scaimindV1.EvaluationService.service, this.nouns.evaluationMethods() as never)
    server.addService(scaimindV1.DataService.service, this.nouns.dataMethods() as never)
    server.addService(scaimindV1.ModelService.service, this.nouns.modelMethods() as never)
    this.port = await new Promise<number>((resolve, reject) => {
      server.bindAsync(`127.0.0.1:${this.port}`, ServerCredentials.createInsecure(), (error, port) =>
        error ? reject(error) : resolve(port),
      )
    })
    this.server = server
    return this
  }

  /** Vanishes at once, as with `kill -9`. */
  stop(): void {
    this.server?.forceShutdown()
    this.server = undefined
    this.open.clear()
  }

  /** Breaks the open streams of a method. */
  breakStreams(method: string): void {
    for (const [stream, name] of this.open) {
      if (name !== method) continue
      this.open.delete(stream)
      stream.emit('error', { code: status.UNAVAILABLE, details: 'broken by the test', metadata: new Metadata() })
    }
  }

  /** Lets what is held answer. */
  release(): void {
    this.held.clear()
    this.bell.emit('change')
  }

  openStreams(method: string): number {
    return [...this.open.values()].filter((name) => name === method).length
  }

  /** Resolves when `condition` holds; it is looked at after everything that happens here. */
  async until(condition: () => boolean): Promise<void> {
    while (!condition()) await once(this.bell, 'change')
  }

  /** Something happened that streams may have to tell. */
  changed(): void {
    this.bell.emit('change')
  }

  addJob(tenantId: string, job: Partial<Job> & { name?: string } = {}): Job & { job_id: string } {
    const created = {
      job_id: newJobId(),
      tenant_id: tenantId,
      revision: '0',
      user_id: 'user',
      status: 'QUEUED' as const,
      name: 'a job',
      training_config: { training_type: 'LORA' as const, base_model: { model_id: 'scaimind/byte-tiny' }, priority: 5 },
      created_at: toTimestamp(new Date()),
      updated_at: toTimestamp(new Date()),
      available_actions: ['CANCEL' as const, 'UPDATE' as const],
      ...job,
    }
    this.jobs.set(created.job_id, created)
    this.record(created.job_id, 'SUBMITTED', {})
    return created
  }

  /** Changes a job and tells it as an event. */
  change(jobId: string, change: Partial<Job>): Job {
    return this.record(jobId, change.status ? 'STATUS_CHANGED' : 'UPDATED', change)
  }

  remove(jobId: string): void {
    this.record(jobId, 'DELETED', {})
    this.jobs.delete(jobId)
  }

  private record(jobId: string, type: NonNullable<JobEvent['type']>, change: Partial<Job>): Job {
    const before = this.jobs.get(jobId)
    if (!before) throw new Error(`no job ${jobId}`)
    const job: Job = { ...before, ...change, revision: String(Number(before.revision) + 1), updated_at: toTimestamp(new Date()) }
    this.jobs.set(jobId, job)
    const sequence = this.events.length + 1
    this.events.push({
      sequence: String(sequence),
      tenant_id: job.tenant_id ?? '',
      job_id: jobId,
      type,
      from_status: before.status ?? 'QUEUED',
      to_status: job.status ?? 'QUEUED',
      time: toTimestamp(new Date()),
      job: type === 'DELETED' ? null : job,
    })
    this.bell.emit('change')
    return job
  }

  private journal<Item>(journals: Map<string, Journal<Item>>, jobId: string): Journal<Item> {
    const known = journals.get(jobId) ?? { records: [], end: undefined }
    journals.set(jobId, known)
    return known
  }

  /** Writes metric records; steps go on from the last. */
  writeMetrics(jobId: string, count: number, attempt = 1): void {
    const { records } = this.journal(this.metrics, jobId)
    for (let i = 0; i < count; i++) {
      const step = records.length + 1
      records.push({
        cursor: formatCursor({ kind: 'metrics', topic: jobId, attempt, sequence: records.length }),
        step: String(step),
        time: toTimestamp(new Date(this.firstStepAt + step * 100)),
        attempt,
        values: { loss: 5 / step, learning_rate: 0.001 },
      })
    }
    this.bell.emit('change')
  }

  writeLogs(jobId: string, lines: string[], level: LogRecord['level'] = 'INFO', more: Partial<LogRecord> = {}): void {
    const { records } = this.journal(this.logs, jobId)
    for (const text of lines) {
      const cursor = formatCursor({ kind: 'logs', topic: jobId, attempt: 1, sequence: records.length })
      records.push({ cursor, time: toTimestamp(new Date()), rank: 0, stream: 'stdout', level: level ?? 'INFO', text, attempt: 1, ...more })
    }
    this.bell.emit('change')
  }

  /** Ends the job's streams. */
  end(jobId: string, ended: JobStatus = 'COMPLETED'): void {
    for (const journals of [this.metrics, this.logs] as Map<string, Journal<unknown>>[]) {
      this.journal(journals, jobId).end = { status: ended, reason: 'the job ended' }
    }
    this.bell.emit('change')
  }

  refuse({ code, message, fields, retryAfter, status: raw }: Refusal) {
    const metadata = new Metadata()
    if (raw === undefined) metadata.set('scaimind-code', code)
    if (fields) metadata.set('scaimind-details-bin', Buffer.from(JSON.stringify(fields)))
    if (retryAfter) metadata.set('scaimind-retry-after', String(retryAfter))
    return { code: raw ?? codes[code].grpc ?? status.INTERNAL, details: message, metadata }
  }

  note(method: string, call: { request?: unknown; metadata: Metadata }): string {
    this.calls.set(method, (this.calls.get(method) ?? 0) + 1)
    this.requests.push({ method, request: call.request, metadata: call.metadata })
    this.bell.emit('change')
    return String(call.metadata.get('x-tenant-id')[0])
  }

  unary(method: string, answer: (request: AnyRequest, tenant: string, call: Call) => unknown) {
    return async (call: Call, callback: sendUnaryData<unknown>) => {
      const tenant = this.note(method, call)
      if (this.silent.has(method)) return
      while (this.held.has(method)) await once(this.bell, 'change')
      const refusal = this.refusals.get(method)
      if (refusal) return callback(this.refuse(refusal))
      try {
        callback(null, answer(call.request, tenant, call))
      } catch (error) {
        callback(this.refuse(error as Refusal))
      }
    }
  }

  own(jobId: string, tenant: string): Job {
    const job = this.jobs.get(jobId)
    if (!job || job.tenant_id !== tenant) throw { code: 'JOB_NOT_FOUND', message: `There is no job ${jobId}.` } satisfies Refusal
    return job
  }

  private logFilter({ level, rank, _rank, attempt, _attempt, since, until, pattern }: AnyRequest): (record: LogRecord) => boolean {
    const expression = new RegExp(pattern)
    const least = logLevels.indexOf(level)
    const at = (time: unknown) => fromTimestamp(time as { seconds: string; nanos: number }) ?? new Date(0)
    return (record) =>
      logLevels.indexOf(record.level as 'INFO') >= least &&
      (!_rank || record.rank === rank) &&
      (!_attempt || record.attempt === attempt) &&
      (!since || at(record.time) >= at(since)) &&
      (!until || at(record.time) < at(until)) &&
      expression.test(record.text ?? '')
  }

  private logPage(request: AnyRequest): ReadJobLogsResponse {
    const { job_id, after, before, from_end } = request
    const limit = request.limit || 100
    const all = this.journal(this.logs, job_id).records
    const placeOf = (cursor: string) => parseCursor(cursor, 'logs', job_id).sequence
    const from = after && !from_end ? placeOf(after) + 1 : 0
    const to = before ? placeOf(before) : all.length
    const ahead = from_end ? all.slice(from, to).reverse() : all.slice(from, to)
    const looked: LogRecord[] = []
    const records: LogRecord[] = []
    const isWanted = this.logFilter(request)
    for (const record of ahead) {
      if (records.length === limit || (request.pattern && looked.length === this.scanBudget)) break
      looked.push(record)
      if (isWanted(record)) records.push(record)
    }
    const hasRest = looked.length < ahead.length
    return {
      records: from_end ? records.reverse() : records,
      has_more: from_end ? before !== '' : hasRest,
      has_earlier: from_end && hasRest,
      start_cursor: from_end ? (looked.at(-1)?.cursor ?? before) : '',
      end_cursor: (from_end ? all[to - 1] : looked.at(-1))?.cursor ?? after,
      scan_spent: hasRest && records.length < limit,
    }
  }

  private ownOf(jobIds: string[], tenant: string): Job[] {
    return jobIds.flatMap((jobId) => {
      const job = this.jobs.get(jobId)
      return job && (tenant === '*' || job.tenant_id === tenant) ? [job] : []
    })
  }

  private checkpointsOf(jobId: string): Checkpoint[] {
    return (
      this.checkpoints.get(jobId) ?? [
        { checkpoint_id: 'c1', job_id: jobId, attempt: 1, step: '5', path: '/c1', bytes: '99999999999', metrics: { loss: 1 } },
      ]
    )
  }

  private coordinatorMethods() {
    const act = (method: string, change: Partial<Job>) =>
      this.unary(method, ({ job_id }, tenant) => {
        this.own(job_id, tenant)
        return this.record(job_id, 'STATUS_CHANGED', change)
      })
    return {
      SubmitJob: this.unary('SubmitJob', (request, tenant) => {
        const { spec, dry_run } = request
        if (dry_run)
          return {
            message: 'It could run.',
            plan: { acceptable: true, records: '3', tokens: '300', total_steps: '10', nodes: ['n1'], starts_now: true, ...this.plan },
          }
        return { job: this.addJob(tenant, { ...spec }), message: 'Accepted.', estimated_wait_seconds: 1.5 }
      }),
      GetJob: this.unary('GetJob', ({ job_id }, tenant) => this.own(job_id, tenant)),
      ListJobs: this.unary('ListJobs', (request, tenant) => {
        const { page_size, page_token } = request
        const all = [...this.jobs.values()].filter((job) => tenant === '*' || job.tenant_id === tenant)
        const start = Number(page_token || 0)
        const size = page_size || 20
        return {
          jobs: all.slice(start, start + size),
          next_page_token: start + size < all.length ? String(start + size) : '',
          total_count: String(all.length),
          snapshot_cursor: start === 0 ? this.eventCursor(tenant, this.events.length) : '',
        }
      }),
      CancelJob: act('CancelJob', { status: 'CANCELLED', available_actions: ['RETRY'] }),
      PauseJob: act('PauseJob', { status: 'PAUSED', available_actions: ['RESUME', 'CANCEL'] }),
      ResumeJob: act('ResumeJob', { status: 'QUEUED' }),
      RetryJob: act('RetryJob', { status: 'QUEUED' }),
      UpdateJob: this.unary('UpdateJob', (request, tenant) => {
        const { job_id, labels, priority } = request
        const { training_config } = this.own(job_id, tenant)
        return this.record(job_id, 'UPDATED', {
          ...(labels ? { labels: labels.labels } : {}),
          ...(priority === undefined ? {} : { training_config: { ...training_config, priority } }),
        })
      }),
      ArchiveJob: this.unary('ArchiveJob', ({ job_id, archived }, tenant) => {
        const { status: state, archived_at } = this.own(job_id, tenant)
        if (!isTerminal(state as JobStatus)) {
          const fields = [
            { path: 'state', message: String(state) },
            { path: 'allowed_from', message: terminalStatuses.join(' ') },
          ]
          throw { code: 'JOB_STATE_CONFLICT', message: `A job that is ${state} cannot be archived.`, fields } satisfies Refusal
        }
        if (Boolean(archived_at) === archived) return this.own(job_id, tenant)
        return this.record(job_id, 'UPDATED', { archived_at: archived ? toTimestamp(new Date()) : null })
      }),
      ListCheckpoints: this.unary('ListCheckpoints', ({ job_id }, tenant) => {
        this.own(job_id, tenant)
        return { checkpoints: this.checkpointsOf(job_id) }
      }),
      GetJobMetrics: this.unary('GetJobMetrics', ({ job_id }, tenant) => {
        this.own(job_id, tenant)
        const { records } = this.journal(this.metrics, job_id)
        return {
          series: [{ name: 'loss', points: records.map(({ step, values, attempt }) => ({ step, value: values?.loss, attempt })) }],
          latest: records.at(-1),
        }
      }),
      ReadJobLogs: this.unary('ReadJobLogs', (request, tenant) => {
        this.own(request.job_id, tenant)
        return this.logPage(request)
      }),
      ListJobEvents: this.unary('ListJobEvents', ({ job_id }, tenant) => {
        this.own(job_id, tenant)
        const events = this.events.filter((event) => event.job_id === job_id && event.type !== 'UPDATED')
        return { events: events.map((event) => ({ ...event, cursor: this.eventCursor(tenant, Number(event.sequence)), job: null })) }
      }),
      StreamJobMetrics: (stream: Stream) => this.streamJournal('StreamJobMetrics', 'metrics', this.metrics, stream),
      StreamJobLogs: (stream: Stream) => this.streamJournal('StreamJobLogs', 'logs', this.logs, stream),
      StreamJobEvents: (stream: Stream) => this.streamEvents(stream),
      BatchGetJobs: this.unary('BatchGetJobs', ({ job_ids }, tenant) => ({ jobs: this.ownOf(job_ids, tenant) })),
      BatchListCheckpoints: this.unary('BatchListCheckpoints', ({ job_ids, limit, checkpoint_ids }, tenant) => {
        if (limit * job_ids.length > 5000) throw { code: 'INVALID_ARGUMENT', message: 'limit: At most 5000 checkpoints a call.' }
        const named = [...this.jobs.values()]
          .filter((job) => job.tenant_id === tenant)
          .map(({ job_id = '' }) => ({
            job_id,
            checkpoints: (this.checkpoints.get(job_id) ?? []).filter((one) => checkpoint_ids.includes(one.checkpoint_id)),
          }))
          .filter(({ checkpoints }) => checkpoints.length > 0)
        const newest = this.ownOf(job_ids, tenant).map(({ job_id = '' }) => ({
          job_id,
          checkpoints: this.checkpointsOf(job_id).slice(0, limit || 100),
        }))
        return { jobs: [...newest, ...named] }
      }),
      BatchGetLatestMetrics: this.unary('BatchGetLatestMetrics', ({ job_ids }, tenant) => ({
        jobs: this.ownOf(job_ids, tenant).flatMap(({ job_id = '' }) => {
          const latest = this.metrics.get(job_id)?.records.at(-1)
          return latest ? [{ job_id, latest }] : []
        }),
      })),
      PlanRetention: this.unary('PlanRetention', (request, tenant) => {
        const before = fromTimestamp(request.finished_before) ?? new Date(0)
        const wanted: string[] = request.statuses.length > 0 ? request.statuses : [...terminalStatuses]
        const items = [...this.jobs.values()]
          .filter((job) => job.tenant_id === tenant && wanted.includes(job.status as string))
          .filter(({ archived_at }) => archived_at || request.archived_only === false)
          .filter(({ finished_at }) => finished_at && (fromTimestamp(finished_at as { seconds: string; nanos: number }) ?? before) < before)
          .map(({ job_id = '', name = '', status: state, finished_at }) => ({ job_id, name, status: state, finished_at, bytes: '1000' }))
        const plan = {
          plan_id: `plan_${this.plans.size}`,
          scope: request.scope,
          items,
          bytes: String(1000 * items.length),
          has_more: false,
        }
        this.plans.set(plan.plan_id, { tenant, items: items.map((item) => ({ ...item, revision: this.jobs.get(item.job_id)?.revision })) })
        return plan
      }),
      ApplyRetention: this.unary('ApplyRetention', ({ plan_id }, tenant) => {
        const plan = this.plans.get(plan_id)
        if (plan?.tenant !== tenant) {
          const fields = [{ path: 'plan_id', message: 'There is no such plan, or it is older than an hour.' }]
          throw { code: 'INVALID_ARGUMENT', message: 'There is no such plan.', fields } satisfies Refusal
        }
        const items = plan.items.map(({ revision, ...item }) => {
          const changed = this.jobs.get(item.job_id)?.revision !== revision
          if (!changed) this.remove(item.job_id)
          return changed ? { ...item, kept: 'It changed since.' } : item
        })
        return { items, bytes: String(1000 * items.filter((item) => !('kept' in item)).length) }
      }),
      StreamMetrics: (stream: Stream) => this.streamJournal('StreamMetrics', 'metrics', this.metrics, stream),
    }
  }

  private clusterMethods() {
    return {
      GetCluster: this.unary('GetCluster', () => ({ nodes_total: 1, nodes_online: 1, cpus_total: 4, engine: 'stub' })),
      GetQueue: this.unary('GetQueue', (_request, tenant) => {
        const waiting = [...this.jobs.values()].filter((job) => job.tenant_id === tenant && job.status === 'QUEUED')
        return {
          depth: waiting.length,
          depths: [{ queue: 'default', priority: 5, jobs: waiting.length }],
          entries: waiting.map(({ job_id = '', estimated_start }, index) => ({
            job_id,
            queue: 'default',
            position: index + 1,
            estimated_start,
            blockers: this.blockers.get(job_id) ?? [],
          })),
        }
      }),
    }
  }

  private eventCursor(topic: string, sequence: number): string {
    return formatCursor({ kind: 'events', topic, attempt: 0, sequence })
  }

  async pump(method: string, stream: Stream, next: () => unknown | undefined | 'end'): Promise<void> {
    this.open.set(stream, method)
    stream.setMaxListeners(0)
    stream.on('cancelled', () => {
      this.open.delete(stream)
      this.bell.emit('change')
    })
    this.bell.emit('change')
    while (this.open.has(stream)) {
      const message = next()
      if (message === 'end') {
        this.open.delete(stream)
        stream.end()
      } else if (message === undefined) await once(this.bell, 'change')
      else if (!stream.write(message)) await Promise.race([once(stream, 'drain'), once(this.bell, 'change')])
    }
  }

  begin(method: string, stream: Stream): { tenant: string } | undefined {
    const tenant = this.note(method, stream)
    const refusal = this.refusals.get(method)
    if (!refusal) return { tenant }
    stream.emit('error', this.refuse(refusal))
    return undefined
  }

  private streamJournal<Item extends { cursor?: string }>(
    method: string,
    kind: 'metrics' | 'logs',
    journals: Map<string, Journal<Item>>,
    stream: Stream,
  ): void {
    const begun = this.begin(method, stream)
    if (!begun) return
    const { job_id, after } = stream.request
    if (this.jobs.get(job_id)?.tenant_id !== begun.tenant) {
      stream.emit('error', this.refuse({ code: 'JOB_NOT_FOUND', message: 'no such job' }))
      return
    }
    const expired = this.expired.get(job_id) ?? -1
    let at = after ? parseCursor(after, kind, job_id).sequence + 1 : expired + 1
    if (at <= expired) {
      stream.emit('error', this.refuse({ code: 'CURSOR_EXPIRED', message: 'that is gone' }))
      return
    }
    let ended = false
    void this.pump(method, stream, () => {
      const journal = this.journal(journals, job_id)
      const records = journal.records.slice(at, at + 50)
      at += records.length
      if (records.length > 0) return { cursor: records.at(-1)?.cursor, batch: { records } }
      if (!journal.end) return undefined
      if (ended) return 'end'
      ended = true
      return { cursor: journal.records.at(-1)?.cursor ?? after, end: journal.end }
    })
  }

  private streamEvents(stream: Stream): void {
    const begun = this.begin('StreamJobEvents', stream)
    if (!begun) return
    const { after, job_id, from_start, until } = stream.request
    const { tenant } = begun
    const last = until ? parseCursor(until, 'events', tenant).sequence : Number.POSITIVE_INFINITY
    let at = after ? parseCursor(after, 'events', tenant).sequence : from_start || job_id ? 0 : this.events.length
    if (after && at < (this.expired.get(tenant) ?? -1)) {
      stream.emit('error', this.refuse({ code: 'CURSOR_EXPIRED', message: 'that is gone' }))
      return
    }
    void this.pump('StreamJobEvents', stream, () => {
      while (at < Math.min(last, this.events.length)) {
        const event = this.events[at++]
        if (!event || (tenant !== '*' && event.tenant_id !== tenant) || (job_id && event.job_id !== job_id)) continue
        return { ...event, cursor: this.eventCursor(tenant, Number(event.sequence)) }
      }
      // One job's stream ends when the job is terminal and all is told.
      if (job_id && isTerminal(this.jobs.get(job_id)?.status as JobStatus)) return 'end'
      return at >= last ? 'end' : undefined
    })
  }
}
