import type { RegisteredModel__Output } from '../../../generated/proto/scaimind/v1/RegisteredModel.js'
import type { ModelFilter } from '../../operations/model-types.js'
import { type ServeCommand, serveCommands } from '../../operations/serve-commands.js'
import { builder } from '../builder.js'
import { ModelServerEnum } from '../enums.js'
import { mutationErrors } from '../failure.js'
import { jobIdOf, ownIdOf } from '../ids.js'
import { orNull, timeOf } from '../scalars.js'
import { JobRef } from './job.js'
import { BaseModelRef } from './job-configs.js'
import { ModelArtefactRef } from './model-artefact.js'

const ServeCommandRef = builder.objectRef<ServeCommand>('ServeCommand').implement({
  description: 'How a model is served.',
  fields: (t) => ({
    server: t.field({ type: ModelServerEnum, description: 'The server.', resolve: (c) => c.server }),
    command: t.exposeString('command', { description: 'One line for a shell, on a machine that sees the model’s path.' }),
    note: t.exposeString('note', { description: 'What the command takes for granted, and how requests name the model.' }),
  }),
})

const RegisteredModelRef = builder.objectRef<RegisteredModel__Output>('RegisteredModel')

builder.node(RegisteredModelRef, {
  description:
    'A model that a job with `registerAs` registered: a copy of its own, under a path that does not change, which neither the job nor retention touches. `models/<name>@<hash>` names it as a base model’s `modelId`, or as an evaluation’s `modelUri`.',
  id: { resolve: (m) => m.registered_model_id, description: 'The global id.' },
  loadManyWithoutCache: (ids, { operations, caller }) => operations.models.getMany(caller, ids),
  fields: (t) => ({
    registeredModelId: t.exposeID('registered_model_id', { description: 'The id that other doors know it by.' }),
    name: t.exposeString('name', {
      description: 'The job’s `registerAs`; with `-merged` after it, the model that the adapter beside it was merged into.',
    }),
    contentHash: t.exposeString('content_hash', {
      description: '`sha256:…` over the names and contents of its files. Of the same content under the same name there is one.',
    }),
    kind: t.exposeString('kind', { description: '`adapter` or `model`.' }),
    path: t.exposeString('path', {
      description: 'Absolute path of its folder, `…/models/<tenant>/<name>@<hash>`. `<name>@current` beside it leads to the current one.',
    }),
    files: t.stringList({ description: 'Names of its files.', resolve: (m) => m.files }),
    bytes: t.field({ type: 'BigInt', description: 'Bytes of its files in all.', resolve: (m) => m.bytes }),
    baseModel: t.field({
      type: BaseModelRef,
      nullable: true,
      description: 'What it was trained from, as the job named it.',
      resolve: (m) => m.base_model,
    }),
    job: t.field({
      type: JobRef,
      nullable: true,
      description: 'The job that made it; of several that made the same, the last. Null where it is deleted.',
      resolve: (m, _args, { loaders }) => loaders.job.load(m.job_id),
    }),
    checkpointStep: t.field({
      type: 'BigInt',
      nullable: true,
      description: 'Optimizer steps at the checkpoint that it was published from; null: it is a job’s output.',
      resolve: (m) => m.step ?? null,
    }),
    isCurrent: t.exposeBoolean('current', {
      description: 'Whether it was registered last under its name, so that `<name>@current` leads to it.',
    }),
    registeredAt: t.field({
      type: 'DateTime',
      nullable: true,
      description: 'When it was last registered.',
      resolve: (m) => timeOf(m.registered_at),
    }),
    serveCommands: t.field({
      type: [ServeCommandRef],
      description: 'Commands that serve it, one a server that can.',
      resolve: (m) => serveCommands(m),
    }),
  }),
})

builder.objectFields(ModelArtefactRef, (t) => ({
  registeredPath: t.string({
    nullable: true,
    description: 'Where the copy lies that was registered, unless it was deleted since; null: it was not registered.',
    resolve: ({ job }) => orNull(job.output?.registered_path),
  }),
  registered: t.field({
    type: RegisteredModelRef,
    nullable: true,
    complexity: 10,
    description:
      'What it was registered as, asked of the coordinator; null: nothing, or that is deleted. COORDINATOR_UNAVAILABLE where it is away.',
    resolve: ({ job }, _args, { loaders }) => {
      const id = job.output?.registered_model_id
      return id ? loaders.registeredModel.load(id) : null
    },
  }),
}))

const RegisteredModelFilterInput = builder.inputType('RegisteredModelFilter', {
  description: 'Which registered models are meant; what is not given does not filter, what is given must all hold.',
  fields: (t) => ({
    name: t.string({ description: 'Only those of exactly this name.' }),
    jobId: t.id({ description: 'Only those of this job, by its own id or its global one.' }),
    currentOnly: t.boolean({ description: 'Only those that are current; default false.' }),
  }),
})

function toFilter(filter: typeof RegisteredModelFilterInput.$inferInput | null | undefined): ModelFilter {
  const { name, jobId, currentOnly } = filter ?? {}
  return { name: name ?? undefined, jobId: jobId ? jobIdOf(jobId) : undefined, currentOnly: currentOnly ?? undefined }
}

builder.queryFields((t) => ({
  registeredModel: t.field({
    type: RegisteredModelRef,
    nullable: true,
    complexity: 10,
    description:
      'One registered model, asked of the coordinator. An error with MODEL_NOT_FOUND where there is none in the tenant, COORDINATOR_UNAVAILABLE where it is away. Needs scaimind:view.',
    args: { registeredModelId: t.arg.id({ required: true, description: 'The registered model, by its own id or its global one.' }) },
    resolve: (_root, { registeredModelId }, { operations, caller }) =>
      operations.models.get(caller, ownIdOf('RegisteredModel', registeredModelId)),
  }),
  registeredModels: t.connection(
    {
      type: RegisteredModelRef,
      description:
        'The tenant’s registered models, the last registered first, asked of the coordinator: COORDINATOR_UNAVAILABLE where it is away. Read with `first` and `after`; `last` and `before` are refused. Needs scaimind:view.',
      args: { filter: t.arg({ type: RegisteredModelFilterInput, description: 'Which ones; default all.' }) },
      complexity: ({ first }) => ({ field: 10, multiplier: Math.max(1, first ?? 20) }),
      resolve: (_root, { filter, ...page }, { operations, caller }) => operations.models.list(caller, { filter: toFilter(filter), page }),
    },
    {
      name: 'RegisteredModelConnection',
      description: 'A page of registered models.',
      fields: (connection) => ({
        totalCount: connection.int({ description: 'Registered models that match, on all pages.', resolve: ({ totalCount }) => totalCount }),
      }),
    },
    { name: 'RegisteredModelEdge', description: 'A registered model and its place in the list.' },
  ),
}))

const DeleteRegisteredModelSuccess = builder.objectRef<RegisteredModel__Output>('DeleteRegisteredModelSuccess').implement({
  description: 'The registered model and its files are gone.',
  fields: (t) => ({ registeredModelId: t.exposeID('registered_model_id', { description: 'What was deleted.' }) }),
})

builder.mutationField('deleteRegisteredModel', (t) =>
  t.field({
    type: DeleteRegisteredModelSuccess,
    errors: mutationErrors('DeleteRegisteredModel'),
    complexity: 10,
    description:
      'Deletes a registered model with its files. Where it was current, the one registered before it becomes current. InvalidInput while a job that is not over starts from it; RequestFailed with MODEL_NOT_FOUND where there is none. Needs scaimind:manage.',
    args: { registeredModelId: t.arg.id({ required: true, description: 'The registered model, by its own id or its global one.' }) },
    resolve: (_root, { registeredModelId }, { operations, caller }) =>
      operations.models.delete(caller, ownIdOf('RegisteredModel', registeredModelId)),
  }),
)
