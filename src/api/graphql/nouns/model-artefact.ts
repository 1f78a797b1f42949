import { Failure } from '../../../contract/failure.js'
import type { ModelArtefact__Output } from '../../../generated/proto/scaimind/v1/ModelArtefact.js'
import type { ArtefactFilter } from '../../operations/artefact-types.js'
import type { JobView } from '../../operations/job-types.js'
import { builder } from '../builder.js'
import { ArchivedEnum, TrainingTypeEnum } from '../enums.js'
import { jobIdOf, ownIdOf } from '../ids.js'
import { orNull, timeOf } from '../scalars.js'
import { pageOf } from '../whole-list.js'
import { EvaluationRef, evaluationIdOf } from './evaluation.js'
import { JobRef } from './job.js'
import { BaseModelRef } from './job-configs.js'
import { LabelFilterInput } from './job-queries.js'

/** A model that a job left behind; told as that job. */
export const ModelArtefactRef = builder.objectRef<JobView>('ModelArtefact')

function outputOf({ job }: JobView): ModelArtefact__Output {
  if (!job.output) throw new Failure('JOB_NOT_FOUND', `The job ${job.job_id} left no model behind.`)
  return job.output
}

builder.node(ModelArtefactRef, {
  description: 'A model, or an adapter of one, that a job left behind.',
  id: { resolve: ({ job }) => job.job_id, description: 'The global id.' },
  loadManyWithoutCache: (ids, { operations, caller }) => operations.artefacts.getMany(caller, ids),
  fields: (t) => ({
    artefactId: t.id({ description: 'Its id, which is that of the job that made it.', resolve: ({ job }) => job.job_id }),
    kind: t.string({ description: '`adapter` or `model`.', resolve: (view) => outputOf(view).kind }),
    name: t.string({
      nullable: true,
      description: 'What it is registered as: the job’s `registerAs`. Null where it has no name.',
      resolve: ({ job }) => orNull(job.output_config?.register_as),
    }),
    path: t.string({ description: 'Absolute path of the folder.', resolve: (view) => outputOf(view).path }),
    files: t.stringList({ description: 'Names of its files.', resolve: (view) => outputOf(view).files }),
    bytes: t.field({ type: 'BigInt', description: 'Bytes of its files in all.', resolve: (view) => outputOf(view).bytes }),
    contentHash: t.string({
      nullable: true,
      description: '`sha256:…` over the names and contents of its files; null until it is known.',
      resolve: (view) => orNull(outputOf(view).content_hash),
    }),
    createdAt: t.field({
      type: 'DateTime',
      nullable: true,
      description: 'When it was saved.',
      resolve: (view) => timeOf(outputOf(view).created_at),
    }),
    job: t.field({ type: JobRef, description: 'The job that made it.', resolve: (view) => view }),
    baseModel: t.field({
      type: BaseModelRef,
      nullable: true,
      description: 'The model that it was trained from; null where that is not known.',
      resolve: ({ job }) => job.training_config?.base_model,
    }),
    evaluations: t.connection(
      {
        type: EvaluationRef,
        nullable: true,
        description:
          'Evaluations of it, not of checkpoints before it, newest first, of the job’s newest 100. Needs scaimind:view or scaimind:evaluate.',
        complexity: ({ first, last }) => ({ field: 5, multiplier: Math.max(1, first ?? last ?? 20) }),
        resolve: async ({ job }, args, { loaders }) => {
          const all = await loaders.evaluationsOfJob.load(job.job_id)
          return pageOf(
            all.filter(({ evaluation }) => !evaluation.checkpoint_id),
            evaluationIdOf,
            args,
          )
        },
      },
      { name: 'ModelArtefactEvaluationConnection', description: 'A page of the evaluations of a model.' },
      { name: 'ModelArtefactEvaluationEdge', description: 'An evaluation and its place among those of the model.' },
    ),
  }),
})

builder.objectField(JobRef, 'output', (t) =>
  t.field({
    type: ModelArtefactRef,
    nullable: true,
    description: 'The model that it left behind; null while there is none.',
    resolve: (view) => (view.job.output ? view : null),
  }),
)

const ModelArtefactFilterInput = builder.inputType('ModelArtefactFilter', {
  description: 'Which models are meant, by the jobs that made them; what is not given does not filter, what is given must all hold.',
  fields: (t) => ({
    baseModel: t.string({ description: 'Only trained from exactly this model id.' }),
    trainingType: t.field({ type: [TrainingTypeEnum], description: 'Only trained in one of these ways.' }),
    labels: t.field({ type: [LabelFilterInput], description: 'Only of jobs with all of these labels.' }),
    nameContains: t.string({ description: 'Only of jobs with this text in the name, in any case; at most 255 characters.' }),
    archived: t.field({ type: ArchivedEnum, defaultValue: 'EXCLUDE', description: 'Whether those of archived jobs are meant.' }),
  }),
})

function toFilter(filter: typeof ModelArtefactFilterInput.$inferInput | null | undefined): ArtefactFilter {
  const { baseModel, trainingType, labels, nameContains, archived } = filter ?? {}
  return {
    baseModel: baseModel ?? undefined,
    trainingTypes: trainingType ?? undefined,
    labels: labels ?? undefined,
    nameContains: nameContains ?? undefined,
    archived: archived ?? undefined,
  }
}

builder.queryFields((t) => ({
  modelArtefact: t.field({
    type: ModelArtefactRef,
    nullable: true,
    description:
      'One model. An error with JOB_NOT_FOUND where the tenant has no such job, or where it left none behind. Needs scaimind:view.',
    args: { id: t.arg.id({ required: true, description: 'The model, by its own id, its global one or its job’s.' }) },
    resolve: (_root, { id }, { operations, caller }) => operations.artefacts.get(caller, jobIdOf(ownIdOf('ModelArtefact', id))),
  }),
  modelArtefacts: t.connection(
    {
      type: ModelArtefactRef,
      description:
        'The tenant’s models, the latest finished first. Pages stay in step while models are added. VALIDATION_ERROR names an argument that is wrong. Needs scaimind:view.',
      args: { filter: t.arg({ type: ModelArtefactFilterInput, description: 'Which models; default all whose jobs are not archived.' }) },
      complexity: ({ first, last }) => ({ field: 1, multiplier: Math.max(1, first ?? last ?? 20) }),
      resolve: async (_root, { filter, ...page }, { operations, caller }) => {
        const wanted = toFilter(filter)
        return { ...(await operations.artefacts.list(caller, { filter: wanted, page })), filter: wanted }
      },
    },
    {
      name: 'ModelArtefactConnection',
      description: 'A page of models.',
      fields: (connection) => ({
        totalCount: connection.int({
          description: 'Models that match, on all pages. Counted only where it is asked for.',
          complexity: 20,
          resolve: ({ filter }, _args, { operations, caller }) => operations.artefacts.count(caller, filter),
        }),
      }),
    },
    { name: 'ModelArtefactEdge', description: 'A model and its place in the list.' },
  ),
}))
