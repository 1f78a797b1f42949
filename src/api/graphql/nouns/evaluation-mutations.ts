import type { EvaluationView } from '../../operations/evaluation-types.js'
import { builder } from '../builder.js'
import { mutationErrors } from '../failure.js'
import { jobIdOf, ownIdOf } from '../ids.js'
import { KeyValueInput } from '../key-values.js'
import { EvaluationRef } from './evaluation.js'
import { toSpec } from './job-inputs.js'

const BenchmarkInput = builder.inputType('BenchmarkInput', {
  description: 'One benchmark to run.',
  fields: (t) => ({
    name: t.string({
      required: true,
      description:
        'How answers to data of one’s own are measured: `perplexity`, `exact_match`, `contains`, `multiple_choice` or, for models of the embedded trainer, `bytes_accuracy`. For HuggingFace models also a task of lm-evaluation-harness, such as `hellaswag`, which brings its data.',
    }),
    dataset: t.string({
      description:
        'A file under the data roots, or the id of an uploaded data set. Required, unless it is a task of lm-evaluation-harness: by default that brings its data. A record of `multiple_choice` is `{"prompt", "choices": […], "answer": its index}`, of the others as in training.',
    }),
    numSamples: t.int({ description: 'At most so many records, from the first; 0, the default, is all.' }),
    parameters: t.field({
      type: [KeyValueInput],
      description:
        'Further settings by name: `max_tokens` (default 160) and `ignore_case` (default false) of `exact_match` and `contains`; for HuggingFace models `batch_size` (default 8), `metric`, and of tasks `num_fewshot`, `seed`, `apply_chat_template`.',
    }),
  }),
})

const SubmitEvaluationInput = builder.inputType('SubmitEvaluationInput', {
  description: 'An evaluation to submit: of a job’s model, or of a model by its path.',
  fields: (t) => ({
    jobId: t.id({ description: 'The job whose model is evaluated, by its own id or its global one; required without modelUri.' }),
    checkpointId: t.id({ description: 'One of the job’s checkpoints; default the job’s output.' }),
    modelUri: t.string({
      description:
        'A model’s path under the data roots, which begins with `/`, `./` or `../`, `scaimind/…`, or a HuggingFace id; required without jobId.',
    }),
    benchmarks: t.field({ type: [BenchmarkInput], required: true, description: 'What is run; 1 to 32.' }),
    name: t.string({ description: 'At most 255 characters; default made of the model’s name and the benchmarks’.' }),
    priority: t.int({ description: '0 to 10, higher first; default 5.' }),
    gpuCount: t.int({
      description:
        'GPUs of one node that the model is spread over; 0: it is run on the CPU. Default: those that the job had on a node, 0 for a model by path.',
    }),
    gpuType: t.string({ description: 'As the inventory spells it; default the job’s.' }),
    environment: t.field({
      type: [KeyValueInput],
      description:
        'Variables for the trainer; default none. HF_TOKEN, HF_ENDPOINT and HF_HUB_OFFLINE are the job’s where they are not given. Values are write-only.',
    }),
  }),
})

const successOf = (name: string, description: string) =>
  builder.objectRef<EvaluationView>(`${name}Success`).implement({
    description,
    fields: (t) => ({
      evaluation: t.field({ type: EvaluationRef, description: 'The evaluation as it is now.', resolve: (view) => view }),
    }),
  })

builder.mutationField('submitEvaluation', (t) =>
  t.field({
    type: successOf('SubmitEvaluation', 'The evaluation was accepted.'),
    errors: mutationErrors('SubmitEvaluation'),
    complexity: 10,
    description:
      'Submits an evaluation. InvalidInput names what is wrong; RequestFailed with JOB_NOT_FOUND or CHECKPOINT_NOT_FOUND for what is not the tenant’s. Needs scaimind:evaluate.',
    args: {
      input: t.arg({ type: SubmitEvaluationInput, required: true, description: 'The evaluation.' }),
      idempotencyKey: t.arg.string({
        description:
          '1 to 255 printable ASCII characters, kept 7 days: a repeat with the same input answers the first evaluation. Default none: every call is another evaluation.',
      }),
    },
    resolve: (_root, { input, idempotencyKey }, { operations, caller }) =>
      operations.evaluations.submit(caller, {
        evaluation: toSpec({ ...input, jobId: input.jobId ? jobIdOf(input.jobId) : null }),
        idempotencyKey: idempotencyKey ?? null,
      }),
  }),
)

builder.mutationField('cancelEvaluation', (t) =>
  t.field({
    type: successOf('CancelEvaluation', 'It was cancelled.'),
    errors: mutationErrors('CancelEvaluation'),
    complexity: 10,
    description:
      'Ends an evaluation that is not terminal; JobStateConflict otherwise. Repeating it answers the same evaluation. RequestFailed with EVALUATION_NOT_FOUND for one that is not the tenant’s. Needs scaimind:evaluate.',
    args: {
      evaluationId: t.arg.id({ required: true, description: 'The evaluation, by its own id or its global one.' }),
      reason: t.arg.string({ description: 'Shown in the evaluation’s message; default none.' }),
    },
    resolve: (_root, { evaluationId, reason }, { operations, caller }) =>
      operations.evaluations.cancel(caller, ownIdOf('Evaluation', evaluationId), { reason: reason ?? null }),
  }),
)

builder.subscriptionField('evaluationUpdated', (t) =>
  t.field({
    type: EvaluationRef,
    description:
      'One evaluation: as it is now, then as each change leaves it. Ends when it is terminal. EVALUATION_NOT_FOUND where there is none in the tenant. Needs scaimind:view or scaimind:evaluate.',
    args: { evaluationId: t.arg.id({ required: true, description: 'The evaluation, by its own id or its global one.' }) },
    subscribe: (_root, { evaluationId }, { operations, caller }) =>
      operations.evaluations.follow(caller, ownIdOf('Evaluation', evaluationId)),
    resolve: (view) => view,
  }),
)
