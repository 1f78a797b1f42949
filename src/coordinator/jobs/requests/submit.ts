import { InvalidInput } from '../../../contract/failure.js'
import { newJobId } from '../../../contract/ids.js'
import type { SubmitJobRequest__Output } from '../../../generated/proto/scaimind/v1/SubmitJobRequest.js'
import type { SubmitJobResponse__Output } from '../../../generated/proto/scaimind/v1/SubmitJobResponse.js'
import type { Hub } from '../../data/hub.js'
import type { JobContent } from '../content/content.js'
import { contentColumns } from '../content/keep-content.js'
import type { TakeIn } from '../placement/intake.js'
import type { JobQueue } from '../placement/queue.js'
import { atMost } from '../records/at-most.js'
import { transact } from '../records/database.js'
import type { Idempotency, Remember } from '../records/idempotency.js'
import { type JobRecord, toJobMessage } from '../records/record.js'
import { completeSpec, type Spec } from '../records/spec.js'
import type { JobStore } from '../records/store.js'
import type { Asker } from './control.js'
import { hubProblems } from './hub-problems.js'
import { newRow } from './new-row.js'
import { planJob } from './plan.js'
import { findReusable } from './reuse.js'
import { type ValidateOptions, validateSubmission } from './validate.js'

/** What taking in jobs needs. */
export interface SubmitOptions extends ValidateOptions {
  hub: Hub
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
  async function check(spec: Spec, tenantId: string, { toleratesData = false } = {}) {
    const checked = await inTurn(() => validateSubmission(spec, tenantId, lookups, { toleratesData }))
    // A hub that is slow to answer keeps nobody else waiting.
    const problems = await hubProblems(checked.spec, lookups)
    if (problems.length > 0) throw new InvalidInput(problems, 'INVALID_ARGUMENT')
    return checked
  }
  return {
    /**
     * Checks a submission and stores it, QUEUED; with `reuse`, answers a finished job that has done its work already; or, in a dry run, plans it and stores nothing. Throws, in a
     * dry run too, InvalidInput with every wrong field, QuotaExceeded or IDEMPOTENCY_CONFLICT.
     */
    async submit(asker: Asker, request: SubmitJobRequest__Output): Promise<SubmitJobResponse__Output> {
      const spec = completeSpec(request.spec)
      if (request.dry_run) return await plan(asker, spec, request.reuse)
      // Without reuse, as it was before there was any: answers that are remembered stay good.
      const asked = request.reuse ? { spec, reuse: true } : spec
      const { tenantId } = asker
      return await idempotency.once({ tenantId, method: 'SubmitJob', key: request.idempotency_key, request: asked }, (remember) =>
        take(asker, spec, request.reuse, remember),
      )
    },
  }

  async function plan({ tenantId }: Asker, spec: Spec, reuse: boolean): Promise<SubmitJobResponse__Output> {
    const checked = await check(spec, tenantId, { toleratesData: true })
    const plan = await planJob({ queue, content, clock, ...lookups }, { spec, tenantId, checked })
    const reused = reuse && plan.acceptable && plan.reusable_job_id !== ''
    if (!reused) await takeIn({ tenantId, gpuCount: spec.resource_config.gpu_count }, async () => {})
    const words = reused
      ? [`Job ${plan.reusable_job_id} would be answered: it has done this work already.`]
      : [ofPlan(plan.acceptable, checked.isReadThrough), ...wayOf(plan.jobs_preempted), ...(reuse ? [noneFor(plan.content_hash)] : [])]
    return { job: null, message: words.join(' '), plan, reused }
  }

  async function take(
    { tenantId, userId }: Asker,
    spec: Spec,
    reuse: boolean,
    remember: Remember | undefined,
  ): Promise<SubmitJobResponse__Output> {
    const { spec: resolved } = await check(spec, tenantId)
    const made = await content.soon({ given: spec, resolved })
    const { contentHash } = made
    const finished = reuse ? await findReusable(lookups.database, { spec, tenantId, contentHash }) : null
    if (finished) {
      const { jobId } = finished
      const message = `Job ${jobId} has done this work already; nothing is trained again.`
      const reused = { job: toJobMessage(finished, clock()), message, plan: null, reused: true }
      if (remember) await transact(lookups.database, (tx) => remember(tx, jobId, reused))
      return reused
    }
    const wait = await queue.waitSeconds({ spec, tenantId })
    const now = clock()
    const jobId = newJobId(now.getTime())
    const row = { ...newRow(spec, { jobId, tenantId, userId, now }), ...contentColumns(made) }
    const message = [`Job ${jobId} is accepted.`, ...(reuse ? [noneFor(contentHash)] : [])].join(' ')
    const answer = (job: JobRecord): SubmitJobResponse__Output => {
      const waits = wait === null ? {} : { estimated_wait_seconds: wait }
      return { job: toJobMessage(job, clock()), message, plan: null, reused: false, ...waits }
    }
    const job = await takeIn({ tenantId, gpuCount: spec.resource_config.gpu_count }, () =>
      store.create(row, {
        steps: [{ happened: 'admitted', message: 'Waits for a place.' }],
        ...(remember ? { remember: (tx, created) => remember(tx, jobId, answer(created)) } : {}),
      }),
    )
    return answer(job)
  }

  /** Why no finished job is answered. */
  function noneFor(contentHash: string): string {
    if (contentHash !== '') return 'No finished job has done this work.'
    return 'Whether a finished job has done this work is not known: it has so much data that only the job itself reads it through, or names something whose hub does not say which it is now.'
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
}
