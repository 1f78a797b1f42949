import { attemptCauses, failureClasses } from '../../../contract/statuses.js'
import type { Attempt__Output } from '../../../generated/proto/scaimind/v1/Attempt.js'
import type { EvaluationScore__Output } from '../../../generated/proto/scaimind/v1/EvaluationScore.js'
import type { FinalEvaluation__Output } from '../../../generated/proto/scaimind/v1/FinalEvaluation.js'
import type { JobFailure__Output } from '../../../generated/proto/scaimind/v1/JobFailure.js'
import type { Progress__Output } from '../../../generated/proto/scaimind/v1/Progress.js'
import type { TextSample__Output } from '../../../generated/proto/scaimind/v1/TextSample.js'
import { builder } from '../builder.js'
import { AttemptCauseEnum, FailureClassEnum, known } from '../enums.js'
import { finite, orNull, timeOf } from '../scalars.js'

/** How far a job is. */
export const ProgressRef = builder.objectRef<Progress__Output>('Progress').implement({
  description: 'How far training is.',
  fields: (t) => ({
    step: t.int({ description: 'Optimizer steps done.', resolve: (p) => Number(p.step) }),
    totalSteps: t.int({
      nullable: true,
      description: 'Optimizer steps in all; null where not known.',
      resolve: (p) => orNull(Number(p.total_steps)),
    }),
    epoch: t.float({ description: 'Passes over the data done, a fraction within one.', resolve: (p) => p.epoch }),
    totalEpochs: t.float({
      nullable: true,
      description: 'Passes over the data in all; null where not known.',
      resolve: (p) => orNull(p.total_epochs),
    }),
    etaSeconds: t.float({
      nullable: true,
      description: 'Seconds left by the trainer’s estimate; null where not known.',
      resolve: (p) => finite(p.eta_seconds),
    }),
    tokensSeen: t.field({ type: 'BigInt', description: 'Tokens trained on.', resolve: (p) => p.tokens_seen }),
  }),
})

/** Why a job failed. */
export const JobFailureRef = builder.objectRef<JobFailure__Output>('JobFailure').implement({
  description: 'Why a job failed.',
  fields: (t) => ({
    class: t.field({
      type: FailureClassEnum,
      description: 'What kind of failure, as far as it can be told; UNKNOWN otherwise.',
      resolve: (f) => known(failureClasses, f.class) ?? 'UNKNOWN',
    }),
    message: t.exposeString('message', { description: 'What happened, in one sentence.' }),
    hint: t.string({ nullable: true, description: 'What would help; null where nothing is known to.', resolve: (f) => orNull(f.hint) }),
    rank: t.int({
      nullable: true,
      description: 'The process that failed first, from 0; null where that is not known.',
      resolve: (f) => f.rank,
    }),
    node: t.string({
      nullable: true,
      description: 'Id of the machine that it was on; null where that is not known.',
      resolve: (f) => orNull(f.node),
    }),
    exitCode: t.int({
      nullable: true,
      description: 'Exit code of that process; null where a signal ended it.',
      resolve: (f) => f.exit_code,
    }),
    firstBadStep: t.int({
      nullable: true,
      description: 'The optimizer step that it went wrong at; null where that is not known.',
      resolve: (f) => (f.first_bad_step === undefined ? null : Number(f.first_bad_step)),
    }),
    evidence: t.exposeStringList('evidence', { description: 'The log lines that show it, oldest first.' }),
  }),
})

/** One launch of a job's trainer. */
export const AttemptRef = builder.objectRef<Attempt__Output>('Attempt').implement({
  description: 'One launch of a job’s trainer.',
  fields: (t) => ({
    number: t.exposeInt('number', { description: 'From 1.' }),
    cause: t.field({
      type: AttemptCauseEnum,
      nullable: true,
      description: 'Why it was started; null for a cause that this API does not know yet.',
      resolve: (a) => known(attemptCauses, a.cause),
    }),
    nodes: t.exposeStringList('nodes', { description: 'Ids of the machines that it ran on.' }),
    startedAt: t.field({
      type: 'DateTime',
      nullable: true,
      description: 'When it started; null until then.',
      resolve: (a) => timeOf(a.started_at),
    }),
    finishedAt: t.field({
      type: 'DateTime',
      nullable: true,
      description: 'When it ended; null until then.',
      resolve: (a) => timeOf(a.finished_at),
    }),
    exitCode: t.int({
      nullable: true,
      description: 'Exit code of the trainer: 0 done, 85 stopped on request; null while it runs and where a signal ended it.',
      resolve: (a) => a.exit_code,
    }),
    signal: t.string({
      nullable: true,
      description: 'Signal that ended it, such as `SIGKILL`; null where it exited.',
      resolve: (a) => orNull(a.signal),
    }),
    fromCheckpoint: t.string({
      nullable: true,
      description: 'Id of the checkpoint that it started from; null where it began at the start.',
      resolve: (a) => orNull(a.from_checkpoint),
    }),
  }),
})

const EvaluationScoreRef = builder.objectRef<EvaluationScore__Output>('EvaluationScore').implement({
  description: 'How well a model continues the held-out records.',
  fields: (t) => ({
    loss: t.float({
      nullable: true,
      description: 'Mean cross-entropy in nats a token; null where it is no number.',
      resolve: (s) => finite(s.loss),
    }),
    perplexity: t.float({
      nullable: true,
      description: 'The exponential of the loss; null where it is no number.',
      resolve: (s) => finite(s.perplexity),
    }),
  }),
})

const TextSampleRef = builder.objectRef<TextSample__Output>('TextSample').implement({
  description: 'One prompt continued by the base and by the tuned model, with the same seed.',
  fields: (t) => ({
    prompt: t.exposeString('prompt', { description: 'The beginning.' }),
    base: t.exposeString('base', { description: 'How the base model goes on.' }),
    tuned: t.exposeString('tuned', { description: 'How the tuned model goes on.' }),
  }),
})

/** The model before and after training. */
export const FinalEvaluationRef = builder.objectRef<FinalEvaluation__Output>('FinalEvaluation').implement({
  description: 'The final pass over the validation split: the model before and after training.',
  fields: (t) => ({
    base: t.field({
      type: EvaluationScoreRef,
      nullable: true,
      description: 'The base model; null where it was not scored.',
      resolve: (e) => e.base,
    }),
    tuned: t.field({
      type: EvaluationScoreRef,
      nullable: true,
      description: 'The tuned model; null where it was not scored.',
      resolve: (e) => e.tuned,
    }),
    tokens: t.field({ type: 'BigInt', description: 'Tokens that were scored.', resolve: (e) => e.tokens }),
    samples: t.field({ type: [TextSampleRef], complexity: 1, description: 'Text of both.', resolve: (e) => e.samples }),
  }),
})
