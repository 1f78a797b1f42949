import type { RegisteredModel__Output } from '../../generated/proto/scaimind/v1/RegisteredModel.js'
import type { Caller } from '../auth/viewer.js'
import type { PageArguments } from './job-types.js'
import type { Page } from './paging.js'

/** Which registered models are meant; what is unset does not filter. */
export interface ModelFilter {
  /** Of exactly this name. */
  name?: string | undefined
  /** Of this job. */
  jobId?: string | undefined
  /** Only those that are current. */
  currentOnly?: boolean | undefined
}

/** The use cases of registered models. The coordinator is asked each time. All throw AUTHZ_PERMISSION_DENIED. */
export interface ModelOperations {
  /** Throws MODEL_NOT_FOUND, also for another tenant's. */
  get(caller: Caller, id: string): Promise<RegisteredModel__Output>
  /** Those of at most 100 ids that there are, in the order of the ids; null for the others. */
  getMany(caller: Caller, ids: readonly string[]): Promise<(RegisteredModel__Output | null)[]>
  /** A page, the last registered first; forwards only. Throws InvalidInput for `last` and `before`, CURSOR_INVALID or CURSOR_EXPIRED for `after`. */
  list(
    caller: Caller,
    input: { filter?: ModelFilter | undefined; page: PageArguments },
  ): Promise<Page<RegisteredModel__Output> & { totalCount: number }>
  /** Deletes it with its files; answers it as it was. Throws MODEL_NOT_FOUND, or InvalidInput while a job that is not over starts from it. */
  delete(caller: Caller, id: string): Promise<RegisteredModel__Output>
}
