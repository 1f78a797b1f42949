import type { CachedDataset__Output } from '../../generated/proto/scaimind/v1/CachedDataset.js'
import type { Dataset__Output } from '../../generated/proto/scaimind/v1/Dataset.js'
import type { SourceReport__Output } from '../../generated/proto/scaimind/v1/SourceReport.js'
import type { Caller } from '../auth/viewer.js'
import type { PageArguments } from './job-types.js'
import type { Page } from './paging.js'

/** A page of data sets, newest first. */
export interface DatasetPage {
  datasets: Dataset__Output[]
  /** Empty on the last page. */
  nextPageToken: string
  totalCount: number
}

/** The use cases of data. The coordinator is asked each time. All throw AUTHZ_PERMISSION_DENIED; those that name a data set throw DATASET_NOT_FOUND, also for another tenant's. */
export interface DataOperations {
  /** Reads sources as a job would. `input` is the proto `ValidateSourcesRequest` in snake_case, checked here. Throws InvalidInput. */
  validate(caller: Caller, input: unknown): Promise<SourceReport__Output[]>
  /**
   * Sends a data set on to the coordinator while it comes in; nothing is kept here. Throws InvalidInput with the line of a record that is not usable,
   * or PAYLOAD_TOO_LARGE. What the tenant has already answers the first data set.
   */
  upload(caller: Caller, input: { name: string; format?: string | null; content: AsyncIterable<Uint8Array> }): Promise<Dataset__Output>
  dataset(caller: Caller, datasetId: string): Promise<Dataset__Output>
  datasets(
    caller: Caller,
    listing?: { pageSize?: number | undefined; pageToken?: string | undefined; contentHash?: string | undefined },
  ): Promise<DatasetPage>
  /** The same as a page of a connection, forwards only: throws InvalidInput for `last` and `before`, CURSOR_INVALID or CURSOR_EXPIRED for `after`. */
  datasetPage(
    caller: Caller,
    input: { contentHash?: string | undefined; page: PageArguments },
  ): Promise<Page<Dataset__Output> & { totalCount: number }>
  /** The copies that nodes keep. */
  cache(caller: Caller): Promise<CachedDataset__Output[]>
  /** Copies a data set to nodes (default: all) before a job needs it. Throws NODE_NOT_FOUND. */
  prefetch(
    caller: Caller,
    datasetId: string,
    options?: { nodes?: readonly string[] | null; pin?: boolean | null },
  ): Promise<CachedDataset__Output>
  /** Deletes the copies of a data set; answers the bytes that are free now. */
  evict(caller: Caller, datasetId: string): Promise<{ bytesFreed: string }>
}
