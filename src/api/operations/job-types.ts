import type { Failure } from '../../contract/failure.js'
import type { JobStatus, LogLevel, retentionScopes, TrainingType } from '../../contract/statuses.js'
import type { Checkpoint__Output } from '../../generated/proto/scaimind/v1/Checkpoint.js'
import type { GetJobMetricsResponse__Output } from '../../generated/proto/scaimind/v1/GetJobMetricsResponse.js'
import type { Job__Output } from '../../generated/proto/scaimind/v1/Job.js'
import type { JobEvent__Output } from '../../generated/proto/scaimind/v1/JobEvent.js'
import type { JobPlan__Output } from '../../generated/proto/scaimind/v1/JobPlan.js'
import type { LogRecord__Output } from '../../generated/proto/scaimind/v1/LogRecord.js'
import type { MetricRecord__Output } from '../../generated/proto/scaimind/v1/MetricRecord.js'
import type { ReadJobLogsResponse__Output } from '../../generated/proto/scaimind/v1/ReadJobLogsResponse.js'
import type { RetentionPlan__Output } from '../../generated/proto/scaimind/v1/RetentionPlan.js'
import type { RetentionResult__Output } from '../../generated/proto/scaimind/v1/RetentionResult.js'
import type { Caller } from '../auth/viewer.js'
import type { JobColumn } from '../cache/job-columns.js'
import type { JobFilter, JobOrder } from '../cache/job-query.js'
import type { Feed } from '../live/feed.js'
import type { LiveMessage } from '../live/record-kind.js'
import type { Lineage } from './lineage-graph.js'

export { ColumnTime, type JobColumn } from '../cache/job-columns.js'
export type { JobFilter, JobOrder } from '../cache/job-query.js'
export { Feed, iterate } from '../live/feed.js'
export type { LiveMessage } from '../live/record-kind.js'

/** A job and how fresh this copy of it is. */
export interface JobView {
  /** The proto message, as the coordinator sent it. */
  job: Job__Output
  /** When this copy was written. */
  syncedAt: Date
  /** True where the coordinator is not connected now, so that the job may have changed since. */
  stale: boolean
}

/** CACHED: the copy that job events keep fresh. COORDINATOR: asked now, the copy where it cannot be reached. */
export type Consistency = 'CACHED' | 'COORDINATOR'

/** A page of a Relay connection. */
export interface PageArguments {
  first?: number | null | undefined
  after?: string | null | undefined
  last?: number | null | undefined
  before?: string | null | undefined
}

/** A page of jobs in the asked order. */
export interface JobPage {
  edges: { cursor: string; node: JobView }[]
  pageInfo: { hasNextPage: boolean; hasPreviousPage: boolean; startCursor: string | null; endCursor: string | null }
}

/** What REST lists by. */
export interface CoordinatorListing {
  statuses?: readonly JobStatus[] | undefined
  trainingTypes?: readonly TrainingType[] | undefined
  labels?: Readonly<Record<string, string>> | undefined
  /** 1 to 100, default 20. */
  pageSize?: number | undefined
  pageToken?: string | undefined
  /** `created_at`, `-priority`, …; default `-created_at`. */
  orderBy?: string | undefined
}

/** A page as the coordinator lists it, or from the cache where it cannot be reached. */
export interface CoordinatorPage {
  jobs: Job__Output[]
  /** Empty on the last page. */
  nextPageToken: string
  totalCount: number
  stale: boolean
  /** Of the oldest copy on the page; null where the coordinator answered. */
  syncedAt: Date | null
}

/** The answer to a submission: the job, or in a dry run the plan. */
export interface Submitted {
  view: JobView | null
  plan: JobPlan__Output | null
  message: string
  /** Whether a finished job is answered, or in a dry run would be, which has done the work already. */
  reused: boolean
  /** Null where unknown. */
  estimatedWaitSeconds: number | null
}

/** What became of one job of many. */
export interface BulkOutcome {
  jobId: string
  /** Null where it was refused. */
  view: JobView | null
  /** Why it was refused; null where it was not. */
  failure: Failure | null
}

/** The answer to a change of many jobs. */
export interface BulkAnswer {
  /** A job each, newest first, at most 500. */
  outcomes: BulkOutcome[]
  /** Jobs that match, those of earlier answers included. */
  matched: number
  /** True where more than 500 match: the same again with `after` goes on. */
  hasMore: boolean
  /** The place of the last job; null where none matched. */
  endCursor: string | null
}

/** What is not needed any more. */
export interface RetentionPolicy {
  scope: (typeof retentionScopes)[number]
  finishedBefore?: Date | null | undefined
  olderThanDays?: number | null | undefined
  /** Terminal ones; default all. */
  statuses?: readonly JobStatus[] | null | undefined
  /** Default true. */
  archivedOnly?: boolean | null | undefined
}

/** One thing that differs between jobs. */
export interface Difference {
  /** In camelCase: `trainingConfig.hyperparameters.learning_rate`. */
  path: string
  /** A job each; null where it has none. */
  values: unknown[]
}

/** Jobs side by side. */
export interface Comparison {
  views: JobView[]
  configs: Difference[]
  dataHashes: Difference[]
  code: Difference[]
}

/** One metric of several jobs over the same steps. */
export interface AlignedSeries {
  name: string
  /** Ascending. */
  steps: number[]
  /** A job each, a value a step; null where the job has none. */
  values: (number | null)[][]
}

/** A job as it is when a stream begins, or as a change left it. */
export interface JobUpdate {
  /** An event stream of the tenant opened after it goes on with the next change. */
  cursor: string
  /** The change; null in the first message of a stream that begins now. */
  event: JobEvent__Output | null
  /** Null where it was deleted. */
  job: JobView | null
}

/** The use cases of jobs. All throw AUTHZ_PERMISSION_DENIED; those that name a job throw JOB_NOT_FOUND, also for another tenant's. */
export interface JobOperations {
  /** Submits a job, or only validates and plans it; with `reuse`, a finished job that has done the same work is answered. `spec` is the submission in snake_case (proto `JobSpec`), checked here. */
  submit(
    caller: Caller,
    input: { spec: unknown; idempotencyKey?: string | null; dryRun?: boolean | null; reuse?: boolean | null },
  ): Promise<Submitted>
  /** What a submission would take; nothing is stored. Throws InvalidInput. */
  plan(caller: Caller, spec: unknown): Promise<JobPlan__Output>
  get(caller: Caller, jobId: string, options?: { consistency?: Consistency | null }): Promise<JobView>
  /** The jobs that exist, in the order of the ids; null for the others. */
  getMany(caller: Caller, jobIds: readonly string[]): Promise<(JobView | null)[]>
  /** A page from the cache; with `columns` the jobs have only these fields. */
  list(
    caller: Caller,
    input: { filter?: JobFilter | null; orderBy?: JobOrder | null; page?: PageArguments; columns?: readonly JobColumn[] | null },
  ): Promise<JobPage>
  count(caller: Caller, filter?: JobFilter | null): Promise<number>
  /** A page from the coordinator that refreshes the cache; from the cache where the coordinator cannot be reached. */
  listFromCoordinator(caller: Caller, listing: CoordinatorListing): Promise<CoordinatorPage>
  /** Ends a job that is not terminal. */
  cancel(caller: Caller, jobId: string, options?: { reason?: string | null; saveCheckpoint?: boolean | null }): Promise<JobView>
  /** Stops a running job at a checkpoint and gives its resources back. */
  pause(caller: Caller, jobId: string, options?: { saveCheckpoint?: boolean | null }): Promise<JobView>
  /** Puts a paused job back into the queue. */
  resume(caller: Caller, jobId: string, options?: { checkpointId?: string | null }): Promise<JobView>
  /** Starts a new attempt of a failed, cancelled or preempted job. */
  retry(caller: Caller, jobId: string, options?: { fromCheckpoint?: string | null; idempotencyKey?: string | null }): Promise<JobView>
  /** Changes priority or labels. */
  update(
    caller: Caller,
    jobId: string,
    changes: { priority?: number | null; labels?: Readonly<Record<string, string>> | null },
  ): Promise<JobView>
  /** Ends those of the jobs that match which are not terminal, at most 500. Throws InvalidInput for a filter without a condition. */
  cancelMany(
    caller: Caller,
    input: { filter: JobFilter; reason?: string | null; saveCheckpoint?: boolean | null; after?: string | null },
  ): Promise<BulkAnswer>
  /** Changes priority or labels of the jobs that match, at most 500. Throws InvalidInput for a filter without a condition. */
  updateMany(
    caller: Caller,
    input: {
      filter: JobFilter
      priority?: number | null
      addLabels?: Readonly<Record<string, string>> | null
      removeLabels?: readonly string[] | null
      after?: string | null
    },
  ): Promise<BulkAnswer>
  /** Puts a terminal job out of the way of listings, or back. */
  archive(caller: Caller, jobId: string, options: { archived: boolean }): Promise<JobView>
  /** Where each job comes from and what came of it, in their order: a few calls and queries however many jobs, at most 500. */
  lineageOf(caller: Caller, views: readonly JobView[]): Promise<Lineage[]>
  /** What a retention policy would delete now; deletes nothing. `finishedBefore` or `olderThanDays`. Throws InvalidInput. */
  planRetention(caller: Caller, policy: RetentionPolicy): Promise<RetentionPlan__Output>
  /** Deletes what a plan named, but for jobs that changed since. Throws InvalidInput for a plan that is not the tenant's or older than an hour. */
  applyRetention(caller: Caller, planId: string): Promise<RetentionResult__Output>
  /** 2 to 10 jobs side by side, in the order of the ids. Throws InvalidInput. */
  compare(caller: Caller, jobIds: readonly string[]): Promise<Comparison>
  /** Metrics of jobs aligned by step; at most `maxPoints` steps a metric, 50 to 2,000, default 500. Throws InvalidInput. */
  compareMetrics(
    caller: Caller,
    jobIds: readonly string[],
    options?: { names?: readonly string[] | null; maxPoints?: number | null },
  ): Promise<AlignedSeries[]>
  /** Complete checkpoints, newest first. */
  checkpoints(caller: Caller, jobId: string): Promise<Checkpoint__Output[]>
  /**
   * The same for many jobs, in their order: the newest `limit` of each, 1 to 1,000; none for a job that does not exist. One call for at most 500 jobs and
   * 5,000 checkpoints.
   */
  checkpointsOf(caller: Caller, jobIds: readonly string[], options: { limit: number }): Promise<Checkpoint__Output[][]>
  /** The newest value of each metric of at most 500 jobs in one call, in their order; null for a job that has none or does not exist. */
  latestMetricsOf(caller: Caller, jobIds: readonly string[]): Promise<(MetricRecord__Output | null)[]>
  /** History as series, and the newest value of each metric. */
  metrics(
    caller: Caller,
    jobId: string,
    options?: { names?: readonly string[] | null; sinceStep?: number | string | null; maxPoints?: number | null },
  ): Promise<GetJobMetricsResponse__Output>
  /**
   * A page of log lines, at most 1,000. The coordinator filters, and looks at so many lines at once: with a filter that matches little a page may be
   * short or empty and still not the last. Throws InvalidInput, for a pattern that cannot be read too.
   */
  logs(
    caller: Caller,
    jobId: string,
    options?: {
      after?: string | null
      level?: LogLevel | null
      rank?: number | null
      limit?: number | null
      /** The last lines instead of the first. */
      fromEnd?: boolean | null
      /** With fromEnd: the last lines before this cursor. */
      before?: string | null
      /** Only this attempt's, from 1. */
      attempt?: number | null
      /** Not before this time. */
      since?: Date | null
      /** Before this time. */
      until?: Date | null
      /** Only lines that match this regular expression: RE2's language, at most 200 characters. */
      pattern?: string | null
    },
  ): Promise<ReadJobLogsResponse__Output>
  /** The changes of the job's state up to now, oldest first, without the job itself; the newest 1,000. */
  events(caller: Caller, jobId: string): Promise<JobEvent__Output[]>
  /** Metric records as they are written, from `after` or from the first; ends with `end`. */
  followMetrics(
    caller: Caller,
    jobId: string,
    options?: { names?: readonly string[] | null; after?: string | null; maxPerSecond?: number | null },
  ): Promise<Feed<LiveMessage<MetricRecord__Output>>>
  /** Log lines as they are written, from `after`, from the last `tail` lines, or from the first; ends with `end`. */
  followLogs(
    caller: Caller,
    jobId: string,
    options?: {
      level?: LogLevel | null
      rank?: number | null
      after?: string | null
      /** 0 to 1,000; ignored with `after`. */
      tail?: number | null
      /** False: end with what is there now. Default true. */
      follow?: boolean | null
    },
  ): Promise<Feed<LiveMessage<LogRecord__Output>>>
  /** One job: as it is now, then every change; or the changes after a cursor. Ends when the job is terminal and all is told. */
  followJob(caller: Caller, jobId: string, options?: { after?: string | null }): Promise<Feed<JobUpdate>>
  /** The changes of one job from its first, or after a cursor. Ends when the job is terminal and all is told. */
  followJobEvents(caller: Caller, jobId: string, options?: { after?: string | null }): Promise<Feed<JobEvent__Output>>
  /** Changes of the tenant's jobs that match, from `after` or from now. */
  followJobs(caller: Caller, options?: { filter?: JobFilter | null; after?: string | null }): Promise<Feed<JobUpdate>>
}
