import { toEvaluation } from '../../../contract/evaluation.js'
import { Failure, type FieldProblem, InvalidInput } from '../../../contract/failure.js'
import { newEvaluationId, parseEvaluationId } from '../../../contract/ids.js'
import type { Evaluation__Output } from '../../../generated/proto/scaimind/v1/Evaluation.js'
import type { EvaluationRun__Output } from '../../../generated/proto/scaimind/v1/EvaluationRun.js'
import type { ListEvaluationsRequest__Output } from '../../../generated/proto/scaimind/v1/ListEvaluationsRequest.js'
import type { ListEvaluationsResponse__Output } from '../../../generated/proto/scaimind/v1/ListEvaluationsResponse.js'
import type { ModelArtefact__Output } from '../../../generated/proto/scaimind/v1/ModelArtefact.js'
import type { SubmitEvaluationRequest__Output } from '../../../generated/proto/scaimind/v1/SubmitEvaluationRequest.js'
import { environmentProblems } from '../../data/environment.js'
import type { Hub } from '../../data/hub.js'
import type { TrainerKind } from '../../data/trainer.js'
import { validateWithTrainer, whereTooSlow } from '../../data/trainer-check.js'
import type { Engine } from '../../engines/engine.js'
import { type EvaluationFile, evaluationTrainer, fieldOf, resolveEvaluation } from '../content/evaluation-file.js'
import { toJobFile } from '../content/job-file.js'
import { benchmarkProblems } from '../fields/benchmarks.js'
import { hfEnvironmentProblems } from '../fields/hf-combinations.js'
import { inventoryProblems } from '../placement/cluster-limits.js'
import type { TakeIn } from '../placement/intake.js'
import type { TenantLimits } from '../placement/quota.js'
import { atMost } from '../records/at-most.js'
import { requireCheckpoint } from '../records/checkpoints.js'
import type { Database } from '../records/database.js'
import type { Idempotency } from '../records/idempotency.js'
import { listJobs } from '../records/list.js'
import { requireJob } from '../records/read.js'
import { type JobRecord, specOf, toJobMessage } from '../records/record.js'
import type { JobSettings } from '../records/settings.js'
import { completeSpec, type Spec } from '../records/spec.js'
import type { JobStore } from '../records/store.js'
import type { Asker, jobControl } from './control.js'
import { hubProblems } from './hub-problems.js'
import { newRow } from './new-row.js'
import { priorityProblems } from './validate-fields.js'

/** What evaluations are built on. */
export interface EvaluationsOptions {
  database: Database
  store: JobStore
  idempotency: Idempotency
  control: ReturnType<typeof jobControl>
  takeIn: TakeIn
  engine: Engine
  hub: Hub
  limitsOf: (tenantId: string) => TenantLimits
  settings: JobSettings
  clock: () => Date
}

const benchmarksMax = 32
const checksMax = 2
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is refused
const controlCharacters = /[\u0000-\u001f\u007f-\u009f]/

/** Evaluations: jobs that measure a model. They share the queue, the lifecycle and the journals of jobs that train. */
export function jobEvaluations({
  database,
  store,
  idempotency,
  control,
  takeIn,
  engine,
  hub,
  limitsOf,
  settings,
  clock,
}: EvaluationsOptions) {
  // Each check reads the data in a process of its own.
  const inTurn = atMost(checksMax)
  const answer = (job: JobRecord): Evaluation__Output => toEvaluation(toJobMessage(job, clock()))

  async function requireEvaluation(tenantId: string, id: string): Promise<JobRecord> {
    const evaluationId = parseEvaluationId(id)
    const job = await store.find(evaluationId)
    if (!job?.isEvaluation || job.tenantId !== tenantId)
      throw new Failure('EVALUATION_NOT_FOUND', `There is no evaluation "${evaluationId}".`)
    return job
  }

  return {
    /** Checks an evaluation and stores it, QUEUED. Throws InvalidInput with every wrong field, QuotaExceeded, JOB_NOT_FOUND, CHECKPOINT_NOT_FOUND or IDEMPOTENCY_CONFLICT. */
    async submit(
      { tenantId, userId }: Asker,
      { idempotency_key: key, ...request }: SubmitEvaluationRequest__Output,
    ): Promise<Evaluation__Output> {
      return await idempotency.once({ tenantId, method: 'SubmitEvaluation', key, request }, async (remember) => {
        const { run, spec } = await read(tenantId, request)
        const now = clock()
        const jobId = newEvaluationId(now.getTime())
        const job = await takeIn({ tenantId, gpuCount: spec.resource_config.gpu_count }, () =>
          store.create(evaluationRow(run, newRow(spec, { jobId, tenantId, userId, now })), {
            steps: [{ happened: 'admitted', message: 'Waits for a place.' }],
            ...(remember ? { remember: (tx, created) => remember(tx, jobId, answer(created)) } : {}),
          }),
        )
        return answer(job)
      })
    },

    /** Throws EVALUATION_NOT_FOUND. */
    get: async (tenantId: string, id: string): Promise<Evaluation__Output> => answer(await requireEvaluation(tenantId, id)),

    /** A page, newest first. */
    async list(tenantId: string, request: ListEvaluationsRequest__Output): Promise<ListEvaluationsResponse__Output> {
      const { job_id: evaluates, statuses, page_size, page_token } = request
      const listing = {
        statuses,
        training_types: [],
        labels: { type: 'evaluation' },
        page_size,
        page_token,
        order_by: '',
        include_archived: false,
        include_evaluations: true,
      }
      const page = await listJobs({ database, store }, tenantId, listing, { evaluates })
      return { evaluations: page.jobs.map(answer), next_page_token: page.nextPageToken, total_count: String(page.totalCount) }
    },

    /** Ends an evaluation that is not terminal; repeating it answers the same. */
    async cancel(asker: Asker, { evaluation_id: id, reason }: { evaluation_id: string; reason: string }): Promise<Evaluation__Output> {
      const { jobId } = await requireEvaluation(asker.tenantId, id)
      return answer(await control.cancel(asker, { jobId, reason, saveCheckpoint: false }))
    },
  }

  async function read(tenantId: string, request: Omit<SubmitEvaluationRequest__Output, 'idempotency_key'>) {
    const problems = fieldProblems(request)
    const { model, of } = await findModel(tenantId, request, problems)
    const run: EvaluationRun__Output = {
      job_id: request.job_id,
      // Of both, which is refused, the job's is judged on.
      model_uri: request.job_id === '' ? request.model_uri : '',
      checkpoint_id: request.checkpoint_id,
      benchmarks: request.benchmarks,
      results: [],
    }
    const given = specOfEvaluation(request, { model, of })
    const resolved = await resolveEvaluation(given, run, tenantId, settings)
    problems.push(...resolved.problems)
    const found = await evaluationTrainer(resolved.file, settings.trainer)
    const kind = found.trainer?.kind
    const spec = kind === 'embedded' && request.gpu_count === undefined ? withoutGpus(given) : given
    const wrong = kind === 'embedded' ? await checkWithTrainer(spec, tenantId, resolved.file) : found.problems
    const places = inventoryProblems(spec, await engine.nodes(), limitsOf(tenantId)).map(({ path, message }) => ({
      path: fieldOf(path),
      message,
    }))
    for (const { path, message } of [...trainerProblems(request, kind), ...wrong, ...places]) {
      // The model of a job is named by the job.
      const field = path === 'model_uri' && request.job_id !== '' ? 'job_id' : path
      if (!problems.some((problem) => problem.path === field)) problems.push({ path: field, message })
    }
    // A hub is asked only for what is right otherwise; whose model is a job's has been fetched.
    const ofHub = problems.length > 0 || request.job_id !== '' ? [] : await hubProblems(spec, { hub, settings })
    problems.push(...ofHub.map(({ path, message }) => ({ path: fieldOf(path), message })))
    if (problems.length > 0) throw new InvalidInput(problems, 'INVALID_ARGUMENT')
    return { run, spec }
  }

  async function checkWithTrainer(spec: Spec, tenantId: string, evaluation: EvaluationFile): Promise<FieldProblem[]> {
    const file = toJobFile(spec, { job_id: '', tenant_id: tenantId, attempt: 1, token: '', resume_from: null })
    const checked = await inTurn(() => validateWithTrainer({ ...file, evaluation }, settings.trainer)).catch(whereTooSlow)
    return checked.problems
  }

  /** The folder of the model that is meant, empty where a field is wrong, and what the job asked for whose it is. */
  async function findModel(
    tenantId: string,
    {
      job_id: jobId,
      model_uri: modelUri,
      checkpoint_id: checkpointId,
    }: Pick<SubmitEvaluationRequest__Output, 'job_id' | 'model_uri' | 'checkpoint_id'>,
    problems: FieldProblem[],
  ): Promise<{ model: string; of: Spec | null }> {
    if (jobId === '') return { model: modelUri, of: null }
    const job = await requireJob(store, tenantId, jobId)
    const of = specOf(job)
    if (job.isEvaluation) {
      problems.push({ path: 'job_id', message: 'This is an evaluation; name the job whose model it evaluates.' })
      return { model: '', of }
    }
    if (checkpointId !== '') return { model: (await requireCheckpoint(database, { tenantId, checkpointId, jobId })).path, of }
    const output = job.output === null ? null : (JSON.parse(job.output) as ModelArtefact__Output)
    if (!output)
      problems.push({
        path: 'job_id',
        message: `The job is ${job.status} and has no output yet; name one of its checkpoints in checkpoint_id.`,
      })
    return { model: output?.path ?? '', of }
  }
}

/** Evaluations. */
export type JobEvaluations = ReturnType<typeof jobEvaluations>

function fieldProblems(request: Omit<SubmitEvaluationRequest__Output, 'idempotency_key'>): FieldProblem[] {
  const { job_id: jobId, model_uri: modelUri, checkpoint_id: checkpointId, benchmarks, name, priority, environment } = request
  const problems: FieldProblem[] = priority === undefined ? [] : priorityProblems(priority, 'priority')
  const add = (isWrong: boolean, path: string, message: string) => {
    if (isWrong) problems.push({ path, message })
  }
  add(jobId === '' && modelUri === '', 'job_id', 'Name the job whose model is evaluated, or a model in model_uri.')
  add(jobId !== '' && modelUri !== '', 'model_uri', 'Name a job or a model, not both.')
  add(jobId === '' && checkpointId !== '', 'checkpoint_id', 'A checkpoint is one of a job: name that in job_id.')
  add(benchmarks.length === 0, 'benchmarks', 'Name at least one benchmark.')
  add(benchmarks.length > benchmarksMax, 'benchmarks', `An evaluation has at most ${benchmarksMax} benchmarks, not ${benchmarks.length}.`)
  add(name.length > 255 || controlCharacters.test(name), 'name', 'A name has at most 255 characters, none of them a control character.')
  for (const [index, { name: benchmark }] of benchmarks.entries()) add(benchmark === '', `benchmarks[${index}].name`, 'Name the benchmark.')
  return [...problems, ...environmentProblems(environment, 'environment')]
}

/** What the trainer that is to evaluate would refuse. */
function trainerProblems(
  { benchmarks, environment, gpu_count: gpus = 0 }: Omit<SubmitEvaluationRequest__Output, 'idempotency_key'>,
  kind: TrainerKind | undefined,
): FieldProblem[] {
  const isTooMuch = kind === 'embedded' && gpus > 0
  return [
    ...benchmarkProblems(benchmarks, kind === 'hf'),
    ...(kind === 'hf' ? hfEnvironmentProblems(environment, 'environment') : []),
    ...(isTooMuch ? [{ path: 'gpu_count', message: 'This model is evaluated by the embedded trainer, which runs on a CPU.' }] : []),
  ]
}

/** Variables by which models are fetched: those of the job hold for what is made of its model. */
const fetching = ['HF_TOKEN', 'HF_ENDPOINT', 'HF_HUB_OFFLINE']

/** An evaluation in the words of a job, `of` that which made the model: a source a benchmark, the model as the base model, one process on one node. */
function specOfEvaluation(
  {
    name,
    priority,
    benchmarks,
    job_id: jobId,
    model_uri: modelUri,
    gpu_count: gpus,
    gpu_type: gpuType,
    environment,
  }: Omit<SubmitEvaluationRequest__Output, 'idempotency_key'>,
  { model, of }: { model: string; of: Spec | null },
): Spec {
  const what = benchmarks.map((benchmark) => benchmark.name).join(', ')
  const spec = completeSpec(null)
  const { revision, dtype, trust_remote_code } = (of ?? spec).training_config.base_model
  const { gpu_count: had, gpu_type: hadType, num_nodes: nodes } = (of ?? spec).resource_config
  const gpuCount = gpus ?? had / nodes
  const inherited = Object.entries(of?.training_config.environment ?? {}).filter(([variable]) => fetching.includes(variable))
  return {
    ...spec,
    name: (name || `${what} of ${modelUri || jobId}`).slice(0, 255),
    labels: { type: 'evaluation' },
    training_config: {
      ...spec.training_config,
      base_model: { ...spec.training_config.base_model, model_id: model, revision, dtype, trust_remote_code },
      environment: { ...Object.fromEntries(inherited), ...environment },
      priority: priority ?? 5,
    },
    resource_config: { ...spec.resource_config, gpu_count: gpuCount, gpu_type: gpuType || (gpuCount > 0 ? hadType : '') },
    data_config: {
      ...spec.data_config,
      sources: benchmarks.map(({ dataset }) => ({
        path: dataset,
        type: /^ds_[0-9a-z]{26}$/.test(dataset) ? 'dataset' : '',
        split: '',
        format: '',
        columns: [],
        filters: {},
        sampling: {},
      })),
    },
  }
}

const withoutGpus = (spec: Spec): Spec => ({ ...spec, resource_config: { ...spec.resource_config, gpu_count: 0, gpu_type: '' } })

const evaluationRow = (run: EvaluationRun__Output, row: ReturnType<typeof newRow>) => ({
  ...row,
  trainingType: '',
  evaluation: JSON.stringify(run),
  isEvaluation: true,
  evaluatesJobId: run.job_id || null,
})
