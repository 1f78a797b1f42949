import { newJobId } from '../../../contract/ids.js'
import type { SubmitJobRequest__Output } from '../../../generated/proto/scaimind/v1/SubmitJobRequest.js'
import type { SubmitJobResponse__Output } from '../../../generated/proto/scaimind/v1/SubmitJobResponse.js'
import type { JobContent } from '../content/content.js'
import { contentColumns } from '../content/keep-content.js'
import type { TakeIn } from '../placement/intake.js'
import type { JobQueue } from '../placement/queue.js'
import { atMost } from '../records/at-most.js'
import type { Idempotency } from '../records/idempotency.js'
import { type JobRecord, toJobMessage } from '../records/record.js'
import { completeSpec, type Spec } from '../records/spec.js'
import type { JobStore } from '../records/store.js'
import type { Asker } from './control.js'
import { newRow } from './new-row.js'
import { planJob } from './plan.js'
import { type ValidateOptions, validateSubmission } from './validate.js'

/** What taking in jobs needs. */
export interface SubmitOptions extends ValidateOptions {
  store: JobStore
  queue: JobQueue
  idempotency: Idempotency
  content: JobContent
  takeIn: TakeIn
  clock: () => Date
}

const checksMax = 4

/** Takes in jobs. */
export function jobSubmission({ store, queue, idempotency, content, takeIn, clock, ...lookups }: SubmitOptions) {
  // Each check reads the data in a process of its own.
  const inTurn = atMost(checksMax)
  const check = (spec: Spec, tenantId: string, { toleratesData = false } = {}) =>
    inTurn(() => validateSubmission(spec, tenantId, lookups, { toleratesData }))
  return {
    /**
     * Checks a submission and stores it, QUEUED; or, in a dry run, plans it and stores nothing. Throws, in a dry run too, InvalidInput with every wrong field,
     * QuotaExceeded or IDEMPOTENCY_CONFLICT.
     */
    async submit({ tenantId, userId }: Asker, request: SubmitJobRequest__Output): Promise<SubmitJobResponse__Output> {
      const spec = completeSpec(request.spec)
      if (request.dry_run) {
        const checked = await check(spec, tenantId, { toleratesData: true })
        await takeIn({ tenantId, gpuCount: spec.resource_config.gpu_count }, async () => {})
        const plan = await planJob({ queue, content, clock, ...lookups }, { spec, tenantId, checked })
        return { job: null, message: [ofPlan(plan.acceptable, checked.isReadThrough), ...wayOf(plan.jobs_preempted)].join(' '), plan }
      }
      return await idempotency.once({ tenantId, method: 'SubmitJob', key: request.idempotency_key, request: spec }, async (remember) => {
        const { spec: resolved } = await check(spec, tenantId)
        const wait = await queue.waitSeconds({ spec, tenantId })
        const madeOf = contentColumns(await content.soon({ given: spec, resolved }))
        const now = clock()
        const jobId = newJobId(now.getTime())
        const row = { ...newRow(spec, { jobId, tenantId, userId, now }), ...madeOf }
        const job = await takeIn({ tenantId, gpuCount: spec.resource_config.gpu_count }, () =>
          store.create(row, {
            steps: [{ happened: 'admitted', message: 'Waits for a place.' }],
            ...(remember ? { remember: (tx, created) => remember(tx, jobId, answer(created, wait)) } : {}),
          }),
        )
        return answer(job, wait)
      })
    },
  }

  function ofPlan(acceptable: boolean, isReadThrough: boolean): string {
    if (!acceptable) return 'The job would be refused for its data.'
    return isReadThrough
      ? 'The job would be accepted.'
      : 'The job would be accepted; there is so much data that only the job itself reads it through.'
  }

  function wayOf(victims: number): string[] {
    if (victims === 0) return []
    return [`${victims === 1 ? '1 preemptible job' : `${victims} preemptible jobs`} of lower priority would give way to it.`]
  }

  function answer(job: JobRecord, wait: number | null): SubmitJobResponse__Output {
    const message = `Job ${job.jobId} is accepted.`
    return { job: toJobMessage(job, clock()), message, plan: null, ...(wait === null ? {} : { estimated_wait_seconds: wait }) }
  }
}
