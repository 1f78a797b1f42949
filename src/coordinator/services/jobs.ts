import { InvalidInput } from '../../contract/failure.js'
import type { ApplyRetentionRequest__Output } from '../../generated/proto/scaimind/v1/ApplyRetentionRequest.js'
import type { ArchiveJobRequest__Output } from '../../generated/proto/scaimind/v1/ArchiveJobRequest.js'
import type { BatchGetJobsRequest__Output } from '../../generated/proto/scaimind/v1/BatchGetJobsRequest.js'
import type { BatchGetLatestMetricsRequest__Output } from '../../generated/proto/scaimind/v1/BatchGetLatestMetricsRequest.js'
import type { BatchListCheckpointsRequest__Output } from '../../generated/proto/scaimind/v1/BatchListCheckpointsRequest.js'
import type { CancelJobRequest__Output } from '../../generated/proto/scaimind/v1/CancelJobRequest.js'
import type { GetJobMetricsRequest__Output } from '../../generated/proto/scaimind/v1/GetJobMetricsRequest.js'
import type { GetJobRequest__Output } from '../../generated/proto/scaimind/v1/GetJobRequest.js'
import type { ListCheckpointsRequest__Output } from '../../generated/proto/scaimind/v1/ListCheckpointsRequest.js'
import type { ListJobEventsRequest__Output } from '../../generated/proto/scaimind/v1/ListJobEventsRequest.js'
import type { ListJobsRequest__Output } from '../../generated/proto/scaimind/v1/ListJobsRequest.js'
import type { PauseJobRequest__Output } from '../../generated/proto/scaimind/v1/PauseJobRequest.js'
import type { PlanRetentionRequest__Output } from '../../generated/proto/scaimind/v1/PlanRetentionRequest.js'
import type { ReadJobLogsRequest__Output } from '../../generated/proto/scaimind/v1/ReadJobLogsRequest.js'
import type { ResumeJobRequest__Output } from '../../generated/proto/scaimind/v1/ResumeJobRequest.js'
import type { RetryJobRequest__Output } from '../../generated/proto/scaimind/v1/RetryJobRequest.js'
import type { StreamJobEventsRequest__Output } from '../../generated/proto/scaimind/v1/StreamJobEventsRequest.js'
import type { StreamJobLogsRequest__Output } from '../../generated/proto/scaimind/v1/StreamJobLogsRequest.js'
import type { StreamJobMetricsRequest__Output } from '../../generated/proto/scaimind/v1/StreamJobMetricsRequest.js'
import type { SubmitJobRequest__Output } from '../../generated/proto/scaimind/v1/SubmitJobRequest.js'
import type { UpdateJobRequest__Output } from '../../generated/proto/scaimind/v1/UpdateJobRequest.js'
import type { Jobs } from '../jobs/jobs.js'
import { completeCheckpoints, toCheckpointMessage } from '../jobs/records/checkpoints.js'
import { listJobs } from '../jobs/records/list.js'
import { requireJob } from '../jobs/records/read.js'
import { toJobMessage } from '../jobs/records/record.js'
import { archiveJob } from '../jobs/retention/archive.js'
import { forAllTenants, type Methods, streaming, unary } from './handlers.js'

const batchMax = 500

/** `CoordinatorService`. */
export function jobMethods({ store, database, submission, control, journals, events, batches, retention, toMessages }: Jobs): Methods {
  const one = async (job: Parameters<typeof toMessages>[0][number]) => (await toMessages([job]))[0]
  const streamMetrics = streaming((request: StreamJobMetricsRequest__Output, { tenantId }, signal) =>
    journals.streamMetrics(tenantId, request, signal),
  )
  return {
    SubmitJob: unary((request: SubmitJobRequest__Output, caller) => submission.submit(caller, request)),
    GetJob: unary(async ({ job_id: id }: GetJobRequest__Output, { tenantId }) => one(await requireJob(store, tenantId, id))),
    BatchGetJobs: unary(async ({ job_ids: ids }: BatchGetJobsRequest__Output, { tenantId }) => {
      if (ids.length > batchMax)
        throw new InvalidInput([{ path: 'job_ids', message: `At most ${batchMax} ids, not ${ids.length}.` }], 'INVALID_ARGUMENT')
      return { jobs: await toMessages(await store.findAll({ jobId: { in: ids }, ...(tenantId === '*' ? {} : { tenantId }) })) }
    }, forAllTenants),
    ListJobs: unary(async (request: ListJobsRequest__Output, { tenantId }) => {
      // Taken before the listing: a change that falls between is told twice rather than never.
      const cursor = await events.cursorNow(tenantId)
      const page = await listJobs({ database, store }, tenantId, request)
      return {
        // Places and reasons move without the jobs changing; a listing is read by who keeps a copy.
        jobs: page.jobs.map((job) => toJobMessage(job, new Date())),
        next_page_token: page.nextPageToken,
        total_count: String(page.totalCount),
        snapshot_cursor: page.isFirst ? cursor : '',
      }
    }, forAllTenants),
    CancelJob: unary(async ({ job_id: jobId, reason, save_checkpoint: saveCheckpoint }: CancelJobRequest__Output, caller) =>
      one(await control.cancel(caller, { jobId, reason, saveCheckpoint })),
    ),
    PauseJob: unary(async ({ job_id: jobId, save_checkpoint: saveCheckpoint = true }: PauseJobRequest__Output, caller) =>
      one(await control.pause(caller, { jobId, saveCheckpoint })),
    ),
    ResumeJob: unary(async ({ job_id: jobId, checkpoint_id: checkpointId }: ResumeJobRequest__Output, caller) =>
      one(await control.resume(caller, { jobId, checkpointId })),
    ),
    RetryJob: unary((request: RetryJobRequest__Output, caller) => control.retry(caller, request)),
    UpdateJob: unary(async (request: UpdateJobRequest__Output, caller) => one(await control.update(caller, request))),
    ArchiveJob: unary(async ({ job_id: jobId, archived }: ArchiveJobRequest__Output, { tenantId }) =>
      one(await archiveJob(store, { tenantId, jobId, archived })),
    ),
    PlanRetention: unary((request: PlanRetentionRequest__Output, { tenantId }) => retention.plan(tenantId, request)),
    ApplyRetention: unary(({ plan_id: planId }: ApplyRetentionRequest__Output, { tenantId }) => retention.apply(tenantId, planId)),
    BatchListCheckpoints: unary((request: BatchListCheckpointsRequest__Output, { tenantId }) => batches.checkpoints(tenantId, request)),
    BatchGetLatestMetrics: unary(({ job_ids: ids }: BatchGetLatestMetricsRequest__Output, { tenantId }) =>
      batches.latestMetrics(tenantId, ids),
    ),
    ListCheckpoints: unary(async ({ job_id: id }: ListCheckpointsRequest__Output, { tenantId }) => {
      const { jobId } = await requireJob(store, tenantId, id)
      return { checkpoints: (await completeCheckpoints(database, jobId)).map(toCheckpointMessage) }
    }),
    GetJobMetrics: unary((request: GetJobMetricsRequest__Output, { tenantId }) => journals.metrics(tenantId, request)),
    StreamJobMetrics: streamMetrics,
    StreamMetrics: streamMetrics,
    StreamJobLogs: streaming((request: StreamJobLogsRequest__Output, { tenantId }, signal) =>
      journals.streamLogs(tenantId, request, signal),
    ),
    ReadJobLogs: unary((request: ReadJobLogsRequest__Output, { tenantId }) => journals.readLogs(tenantId, request)),
    ListJobEvents: unary(async (request: ListJobEventsRequest__Output, { tenantId }) => ({ events: await events.list(tenantId, request) })),
    StreamJobEvents: streaming(
      ({ after, job_id: jobId, from_start: fromStart, until }: StreamJobEventsRequest__Output, { tenantId }, signal) =>
        events.follow({ tenantId, after, jobId, fromStart, until, signal }),
      forAllTenants,
    ),
  }
}
