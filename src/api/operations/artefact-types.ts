import type { TrainingType } from '../../contract/statuses.js'
import type { Caller } from '../auth/viewer.js'
import type { JobFilter, JobView, PageArguments } from './job-types.js'
import type { Page } from './paging.js'

/** Which models are meant; what is unset does not filter. */
export interface ArtefactFilter {
  /** With exactly this model id. */
  baseModel?: string | undefined
  trainingTypes?: readonly TrainingType[] | undefined
  /** The job must have all of them; without a value any value will do. */
  labels?: JobFilter['labels']
  /** Part of the job's name, in any case. */
  nameContains?: string | undefined
  /** Of archived jobs. Default EXCLUDE. */
  archived?: JobFilter['archived']
}

/** What jobs left behind, each told as the job that made it. From the cache. All throw AUTHZ_PERMISSION_DENIED. */
export interface ArtefactOperations {
  /** The job that made it. Throws JOB_NOT_FOUND, also where it left nothing behind. */
  get(caller: Caller, jobId: string): Promise<JobView>
  getMany(caller: Caller, jobIds: readonly string[]): Promise<(JobView | null)[]>
  /** A page, the latest finished first. */
  list(caller: Caller, input: { filter?: ArtefactFilter | null; page?: PageArguments }): Promise<Page<JobView>>
  count(caller: Caller, filter?: ArtefactFilter | null): Promise<number>
}
