import { fromTimestamp } from '../../contract/proto.js'
import type { JobEvent__Output } from '../../generated/proto/scaimind/v1/JobEvent.js'
import type { JobFilter } from './job-types.js'

/** The filter of a list, for a stream of changes: an event matches where the job it carries does. Deletions match always, for what was deleted is not told any more. */
export function matchesFilter(filter: JobFilter): (event: JobEvent__Output) => boolean {
  const { statuses, trainingTypes, frameworks, baseModel, labels, nameContains, createdAfter, createdBefore } = filter
  const oneOf = (values: readonly string[] | undefined, value: string | undefined) => !values?.length || values.includes(value ?? '')
  return ({ job }) => {
    if (!job) return true
    const training = job.training_config
    const createdAt = fromTimestamp(job.created_at) ?? new Date(0)
    return (
      (job.labels.type !== 'evaluation' || labels?.type === 'evaluation') &&
      oneOf(statuses, job.status) &&
      oneOf(trainingTypes, training?.training_type) &&
      oneOf(frameworks, training?.framework?.type ?? 'HF_TRAINER') &&
      (!baseModel || training?.base_model?.model_id === baseModel) &&
      (!nameContains || job.name.toLowerCase().includes(nameContains.toLowerCase())) &&
      (!createdAfter || createdAt > createdAfter) &&
      (!createdBefore || createdAt < createdBefore) &&
      Object.entries(labels ?? {}).every(([key, value]) => job.labels[key] === value)
    )
  }
}
