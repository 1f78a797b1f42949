import type { JobStatus } from '../../contract/statuses.js'
import type { Evaluation__Output } from '../../generated/proto/scaimind/v1/Evaluation.js'
import type { Caller } from '../auth/viewer.js'
import type { Feed } from '../live/feed.js'
import type { PageArguments } from './job-types.js'

/** An evaluation and how fresh this copy of it is. */
export interface EvaluationView {
  evaluation: Evaluation__Output
  syncedAt: Date
  stale: boolean
}

/** Which evaluations of the tenant are meant; what is unset does not filter. */
export interface EvaluationFilter {
  /** Of these jobs. */
  jobIds?: readonly string[] | undefined
  statuses?: readonly JobStatus[] | undefined
}

/** A page of evaluations, newest first. */
export interface EvaluationPage {
  edges: { cursor: string; node: EvaluationView }[]
  pageInfo: { hasNextPage: boolean; hasPreviousPage: boolean; startCursor: string | null; endCursor: string | null }
}

/** One score of several evaluations, in their order; null where one has none. */
export interface ScoreComparison {
  name: string
  /** Which way is better. */
  direction: 'LOWER' | 'HIGHER'
  values: ({ value: number; standardError: number | null; numSamples: number } | null)[]
  /** Of the best value, the first of equals; null where there is none. */
  bestIndex: number | null
}

/** One benchmark on the same records. */
export interface BenchmarkComparison {
  name: string
  /** As the first that ran it named it. */
  dataset: string
  /** Null where it is not known. */
  contentHash: string | null
  scores: ScoreComparison[]
}

/** The use cases of evaluations. All throw AUTHZ_PERMISSION_DENIED; those that name an evaluation throw EVALUATION_NOT_FOUND, also for another tenant's. */
export interface EvaluationOperations {
  /** Submits an evaluation. `input` is the proto `SubmitEvaluationRequest` in snake_case without its key, checked here. Throws InvalidInput, JOB_NOT_FOUND or CHECKPOINT_NOT_FOUND. */
  submit(caller: Caller, input: { evaluation: unknown; idempotencyKey?: string | null }): Promise<EvaluationView>
  /** One evaluation, from the copy that job events keep fresh, or from the coordinator. */
  get(caller: Caller, evaluationId: string, options?: { consistency?: 'CACHED' | 'COORDINATOR' | null }): Promise<EvaluationView>
  getMany(caller: Caller, evaluationIds: readonly string[]): Promise<(EvaluationView | null)[]>
  /** A page from the cache. */
  list(caller: Caller, input: { filter?: EvaluationFilter | null; page?: PageArguments }): Promise<EvaluationPage>
  count(caller: Caller, filter?: EvaluationFilter | null): Promise<number>
  /** The newest evaluations of each job, at most `limit` (default 100) each: one query however many jobs there are. */
  ofJobs(caller: Caller, jobIds: readonly string[], limit?: number): Promise<EvaluationView[][]>
  /** 2 to 10 evaluations side by side. Throws InvalidInput, or EVALUATION_NOT_FOUND where one of them is not the tenant's. */
  compare(caller: Caller, evaluationIds: readonly string[]): Promise<{ evaluations: EvaluationView[]; benchmarks: BenchmarkComparison[] }>
  /** A page from the coordinator; from the cache where it cannot be reached. For REST. */
  listFromCoordinator(
    caller: Caller,
    listing: {
      jobId?: string | undefined
      statuses?: readonly JobStatus[] | undefined
      pageSize?: number | undefined
      pageToken?: string | undefined
    },
  ): Promise<{ evaluations: Evaluation__Output[]; nextPageToken: string; totalCount: number; stale: boolean; syncedAt: Date | null }>
  /** Ends an evaluation that is not terminal. */
  cancel(caller: Caller, evaluationId: string, options?: { reason?: string | null }): Promise<EvaluationView>
  /** The evaluation as it is, then as each change leaves it. Ends when it is terminal. */
  follow(caller: Caller, evaluationId: string): Promise<Feed<EvaluationView>>
}
