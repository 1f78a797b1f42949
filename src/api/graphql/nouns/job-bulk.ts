import type { BulkAnswer, BulkOutcome } from '../../operations/job-types.js'
import { builder } from '../builder.js'
import { ErrorInterface, mutationErrors } from '../failure.js'
import { KeyValueInput, toRecord } from '../key-values.js'
import { JobRef } from './job.js'
import { JobFilterInput, toJobFilter } from './job-queries.js'

const BulkOutcomeRef = builder.objectRef<BulkOutcome>('JobOutcome').implement({
  description: 'What became of one job of many.',
  fields: (t) => ({
    jobId: t.exposeID('jobId', { description: 'The job.' }),
    job: t.field({
      type: JobRef,
      nullable: true,
      description: 'The job as it is now; null where it was refused.',
      resolve: ({ view }) => view,
    }),
    error: t.field({
      type: ErrorInterface,
      nullable: true,
      description: 'Why it was refused, as the mutation for one job would say; null where it was not.',
      resolve: ({ failure }) => failure,
    }),
  }),
})

const successOf = (name: string) =>
  builder.objectRef<BulkAnswer>(`${name}Success`).implement({
    description: 'It was asked of each job that matches.',
    fields: (t) => ({
      results: t.field({
        type: [BulkOutcomeRef],
        complexity: { field: 1, multiplier: 50 },
        description: 'A job each, newest first, at most 500.',
        resolve: ({ outcomes }) => outcomes,
      }),
      matched: t.exposeInt('matched', { description: 'Jobs that match, those of earlier answers included.' }),
      hasMore: t.exposeBoolean('hasMore', { description: 'Whether more than 500 match: the same again with `after: endCursor` goes on.' }),
      endCursor: t.exposeString('endCursor', { nullable: true, description: 'The place of the last job; null where none matched.' }),
    }),
  })

const filterDescription = 'Which jobs. A filter without a condition is refused: InvalidInput naming `filter`.'
const afterDescription = 'Go on after this `endCursor` of an answer with `hasMore`; default with the newest.'

builder.mutationField('cancelJobs', (t) =>
  t.field({
    type: successOf('CancelJobs'),
    errors: mutationErrors('CancelJobs'),
    complexity: 100,
    description:
      'Ends those of the jobs that match which are not terminal, at most 500 a call, and answers for each. Repeating it is fine. Needs scaimind:manage.',
    args: {
      filter: t.arg({ type: JobFilterInput, required: true, description: filterDescription }),
      reason: t.arg.string({ description: 'Shown in the message of each job; default none.' }),
      saveCheckpoint: t.arg.boolean({ defaultValue: false, description: 'Save a checkpoint of each before it ends.' }),
      after: t.arg.string({ description: afterDescription }),
    },
    resolve: (_root, { filter, reason, saveCheckpoint, after }, { operations, caller }) =>
      operations.jobs.cancelMany(caller, {
        filter: toJobFilter(filter),
        reason: reason ?? null,
        saveCheckpoint: saveCheckpoint ?? null,
        after: after ?? null,
      }),
  }),
)

builder.mutationField('updateJobs', (t) =>
  t.field({
    type: successOf('UpdateJobs'),
    errors: mutationErrors('UpdateJobs'),
    complexity: 100,
    description:
      'Changes the priority of the jobs that match (those that are terminal answer a JobStateConflict), or labels of any, at most 500 a call, and answers for each. Repeating it is fine. Needs scaimind:manage.',
    args: {
      filter: t.arg({ type: JobFilterInput, required: true, description: filterDescription }),
      priority: t.arg.int({ description: '0 to 10; default: as it is.' }),
      addLabels: t.arg({ type: [KeyValueInput], description: 'Set on each job; other labels stay. A job has at most 64. Default none.' }),
      removeLabels: t.arg.stringList({ description: 'Names of labels that each job loses, at most 64; default none.' }),
      after: t.arg.string({ description: afterDescription }),
    },
    resolve: (_root, { filter, priority, addLabels, removeLabels, after }, { operations, caller }) =>
      operations.jobs.updateMany(caller, {
        filter: toJobFilter(filter),
        priority: priority ?? null,
        addLabels: addLabels ? toRecord(addLabels, 'add_labels') : null,
        removeLabels: removeLabels ?? null,
        after: after ?? null,
      }),
  }),
)
