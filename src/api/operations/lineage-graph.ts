import { fromTimestamp } from '../../contract/proto.js'
import type { LineageKind } from '../../contract/statuses.js'
import type { Checkpoint__Output } from '../../generated/proto/scaimind/v1/Checkpoint.js'
import type { Job__Output } from '../../generated/proto/scaimind/v1/Job.js'

/** One thing in a lineage. */
export interface LineageNode {
  /** Of the job, checkpoint, evaluation or uploaded data set; else made of what it is, and the same in every lineage that it is in. */
  id: string
  kind: LineageKind
  /** For people. */
  label: string
  contentHash: string | null
  /** When it came to be. */
  at: Date | null
}

/** Where a job comes from and what came of it: each edge leads from what was there first to what was made of it. */
export interface Lineage {
  nodes: LineageNode[]
  edges: { from: string; to: string }[]
}

/** What is known of a job. */
export interface LineageParts {
  job: Job__Output
  /** Its own. */
  checkpoints: readonly Checkpoint__Output[]
  /** The jobs that evaluate it. */
  evaluations: readonly Job__Output[]
  /** Checkpoints of other jobs that it started from, by id; one that is gone is missing. */
  foreign: ReadonlyMap<string, Checkpoint__Output>
  /** Those other jobs, by id. */
  parents: ReadonlyMap<string, Job__Output>
}

/** Draws it: data and base model → job → attempt → checkpoint → artefact → evaluation, and what an attempt started from → the attempt. */
export function lineageGraph({ job, checkpoints, evaluations, foreign, parents }: LineageParts): Lineage {
  const nodes = new Map<string, LineageNode>()
  const edges = new Map<string, { from: string; to: string }>()
  function add(
    kind: LineageKind,
    id: string,
    label: string,
    { contentHash = '', at = null }: { contentHash?: string; at?: Date | null } = {},
  ) {
    if (!nodes.has(id)) nodes.set(id, { id, kind, label, contentHash: contentHash || null, at })
    return id
  }
  const link = (from: string, to: string) => edges.set(`${from} ${to}`, { from, to })
  const addJob = (of: Job__Output) => add('JOB', of.job_id, of.name, { contentHash: of.content_hash, at: fromTimestamp(of.created_at) })
  const addCheckpoint = ({ checkpoint_id, step, created_at }: Checkpoint__Output) =>
    add('CHECKPOINT', checkpoint_id, `step ${step}`, { at: fromTimestamp(created_at) })

  const id = addJob(job)
  for (const { path, content_hash, dataset_id } of dataOf(job)) {
    link(add('DATASET', dataset_id || content_hash || `path:${path}`, path, { contentHash: content_hash }), id)
  }
  const model = job.training_config?.base_model
  if (model?.model_id) {
    const name = model.revision ? `${model.model_id}@${model.revision}` : model.model_id
    link(add('BASE_MODEL', `model:${name}`, name), id)
  }

  function addAttempt(number: number, at: Date | null = null): string {
    const attempt = add('ATTEMPT', `${job.job_id}/attempts/${number}`, `attempt ${number}`, { at })
    link(id, attempt)
    return attempt
  }
  for (const { number, started_at } of job.attempts) addAttempt(number, fromTimestamp(started_at))
  // A checkpoint may be of an attempt that the copy of the job does not know yet.
  for (const checkpoint of checkpoints.toReversed()) link(addAttempt(checkpoint.attempt), addCheckpoint(checkpoint))

  /** A checkpoint that something started from or is about; another job's with that job. */
  function addStart(checkpointId: string): string {
    if (nodes.has(checkpointId)) return checkpointId
    const found = foreign.get(checkpointId)
    if (!found) return add('CHECKPOINT', checkpointId, checkpointId)
    addCheckpoint(found)
    const parent = parents.get(found.job_id)
    link(parent ? addJob(parent) : add('JOB', found.job_id, found.job_id), checkpointId)
    return checkpointId
  }
  for (const { number, from_checkpoint } of job.attempts) if (from_checkpoint) link(addStart(from_checkpoint), addAttempt(number))
  const resumed = job.training_config?.resume_from_checkpoint
  if (resumed && !job.attempts.some(({ from_checkpoint }) => from_checkpoint === resumed)) link(addStart(resumed), id)

  const last = job.attempts.at(-1)?.number
  const artefact =
    job.output &&
    add('ARTEFACT', `${job.job_id}/output`, job.output.kind, {
      contentHash: job.output.content_hash,
      at: fromTimestamp(job.output.created_at),
    })
  if (artefact) {
    const state = checkpoints.find(({ attempt }) => attempt === last)?.checkpoint_id
    link(state ?? (last === undefined ? id : addAttempt(last)), artefact)
  }
  for (const evaluation of evaluations) {
    const at = fromTimestamp(evaluation.created_at)
    const evaluated = evaluation.evaluation?.checkpoint_id
    link(evaluated ? addStart(evaluated) : artefact || id, add('EVALUATION', evaluation.job_id, evaluation.name, { at }))
  }
  return { nodes: [...nodes.values()], edges: [...edges.values()] }
}

/** The data by content, where that is known already, else as they were named. */
function dataOf(job: Job__Output): { path: string; content_hash: string; dataset_id: string }[] {
  const hashed = job.data_hashes ?? []
  if (hashed.length > 0) return hashed
  return (job.data_config?.sources ?? []).map(({ path }) => ({ path, content_hash: '', dataset_id: '' }))
}

/** Ids of the checkpoints that a job started from and that are none of its own. */
export function foreignCheckpoints(job: Job__Output, checkpoints: readonly Checkpoint__Output[]): string[] {
  const own = new Set(checkpoints.map(({ checkpoint_id }) => checkpoint_id))
  const starts = [job.training_config?.resume_from_checkpoint, ...job.attempts.map(({ from_checkpoint }) => from_checkpoint)]
  return [...new Set(starts.filter((id): id is string => Boolean(id) && !own.has(id as string)))]
}
