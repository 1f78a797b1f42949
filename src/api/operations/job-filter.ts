import { z } from 'zod'
import { InvalidInput } from '../../contract/failure.js'
import { fromTimestamp } from '../../contract/proto.js'
import type { Timestamp__Output } from '../../generated/proto/google/protobuf/Timestamp.js'
import type { JobEvent__Output } from '../../generated/proto/scaimind/v1/JobEvent.js'
import type { JobFilter } from './job-types.js'
import { parseInput } from './parse.js'

const text = (most: number) => z.string().min(1, 'This is empty.').max(most, `This has at most ${most} characters.`).optional()
const filterSchema = z.object({
  filter: z.object({
    base_model: text(500),
    name_contains: text(255),
    user_id: text(255),
    node_id: text(255),
    content_hash: text(80),
    labels: z
      .array(
        z.object({ key: z.string().min(1, 'A label is named by 1 to 128 characters.').max(128), value: z.string().max(255).optional() }),
      )
      .max(64, 'At most 64 labels can be asked for.')
      .optional(),
  }),
})
const ranges = ['created', 'started', 'finished'] as const

/** Refuses a filter that cannot be meant: an InvalidInput names each field that is wrong. */
export function checkFilter(filter: JobFilter): void {
  if (Object.values(filter).every((value) => value === undefined)) return
  const { baseModel, nameContains, userId, nodeId, contentHash, labels } = filter
  parseInput(filterSchema, {
    filter: { base_model: baseModel, name_contains: nameContains, user_id: userId, node_id: nodeId, content_hash: contentHash, labels },
  })
  const empty = ranges.filter((name) => {
    const [after, before] = [filter[`${name}After`], filter[`${name}Before`]]
    return after && before && after >= before
  })
  if (empty.length > 0) {
    throw new InvalidInput(
      empty.map((name) => ({
        path: `filter.${name}_after`,
        message: 'This is not before the end of its range, so that nothing could match.',
      })),
    )
  }
}

/** The filter of a list, for a stream of changes: an event matches where the job it carries does. Deletions match always, for what was deleted is not told any more. */
export function matchesFilter(filter: JobFilter): (event: JobEvent__Output) => boolean {
  const { statuses, trainingTypes, frameworks, baseModel, labels, nameContains, userId, nodeId, contentHash, archived } = filter
  const oneOf = (values: readonly string[] | undefined, value: string | undefined) => !values?.length || values.includes(value ?? '')
  const asksForEvaluations = labels?.some(({ key, value }) => key === 'type' && value === 'evaluation') ?? false
  return ({ job }) => {
    if (!job) return true
    const training = job.training_config
    const isArchived = Boolean(job.archived_at)
    return (
      (job.labels.type === 'evaluation') === asksForEvaluations &&
      (archived === 'INCLUDE' || isArchived === (archived === 'ONLY')) &&
      oneOf(statuses, job.status) &&
      oneOf(trainingTypes, training?.training_type) &&
      oneOf(frameworks, training?.framework?.type ?? 'HF_TRAINER') &&
      (!baseModel || training?.base_model?.model_id === baseModel) &&
      (!userId || job.user_id === userId) &&
      (!contentHash || job.content_hash === contentHash) &&
      (!nodeId || job.nodes.includes(nodeId) || job.attempts.some(({ nodes }) => nodes.includes(nodeId))) &&
      (!nameContains || job.name.toLowerCase().includes(nameContains.toLowerCase())) &&
      isBetween(job.created_at, filter.createdAfter, filter.createdBefore) &&
      isBetween(job.started_at, filter.startedAfter, filter.startedBefore) &&
      isBetween(job.finished_at, filter.finishedAfter, filter.finishedBefore) &&
      (labels ?? []).every(({ key, value }) => (value == null ? Object.hasOwn(job.labels, key) : job.labels[key] === value))
    )
  }
}

/** A time that is not there lies in no range, as in the database. */
function isBetween(time: Timestamp__Output | null, after: Date | undefined, before: Date | undefined): boolean {
  if (!after && !before) return true
  const at = fromTimestamp(time)
  return at !== null && (!after || at > after) && (!before || at < before)
}
