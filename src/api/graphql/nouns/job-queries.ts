import type { JobFilter } from '../../operations/job-types.js'
import { builder } from '../builder.js'
import { selectedColumns } from '../columns.js'
import {
  ArchivedEnum,
  ConsistencyEnum,
  FrameworkTypeEnum,
  JobOrderFieldEnum,
  JobStatusEnum,
  OrderDirectionEnum,
  TrainingTypeEnum,
} from '../enums.js'
import { jobIdOf } from '../ids.js'
import { JobRef } from './job.js'

/** A label that a job must have. */
export const LabelFilterInput = builder.inputType('LabelFilter', {
  description: 'A label that a job must have.',
  fields: (t) => ({
    key: t.string({ required: true, description: 'Its name, 1 to 128 characters.' }),
    value: t.string({ description: 'Its value, at most 255 characters; without it any value will do.' }),
  }),
})

/** Which jobs are meant. */
export const JobFilterInput = builder.inputType('JobFilter', {
  description: 'Which jobs are meant; what is not given does not filter, what is given must all hold.',
  fields: (t) => ({
    status: t.field({ type: [JobStatusEnum], description: 'In one of these states.' }),
    trainingType: t.field({ type: [TrainingTypeEnum], description: 'Trained in one of these ways.' }),
    framework: t.field({ type: [FrameworkTypeEnum], description: 'With one of these frameworks.' }),
    baseModel: t.string({ description: 'With exactly this model id, at most 500 characters.' }),
    labels: t.field({ type: [LabelFilterInput], description: 'With all of these labels. Evaluations only with type=evaluation.' }),
    nameContains: t.string({ description: 'With this text in the name, in any case; at most 255 characters.' }),
    createdAfter: t.field({ type: 'DateTime', description: 'Submitted after this time.' }),
    createdBefore: t.field({ type: 'DateTime', description: 'Submitted before this time.' }),
    startedAfter: t.field({ type: 'DateTime', description: 'First started after this time.' }),
    startedBefore: t.field({ type: 'DateTime', description: 'First started before this time.' }),
    finishedAfter: t.field({ type: 'DateTime', description: 'Ended after this time.' }),
    finishedBefore: t.field({ type: 'DateTime', description: 'Ended before this time.' }),
    userId: t.string({ description: 'Submitted by this user.' }),
    nodeId: t.string({ description: 'An attempt of it runs or ran on this machine.' }),
    contentHash: t.string({ description: 'The same work: with this content hash.' }),
    archived: t.field({ type: ArchivedEnum, defaultValue: 'EXCLUDE', description: 'Whether archived jobs are meant.' }),
  }),
})

const JobOrderInput = builder.inputType('JobOrder', {
  description: 'The order of a list; the job id breaks ties.',
  fields: (t) => ({
    field: t.field({ type: JobOrderFieldEnum, required: true, description: 'What jobs are ordered by.' }),
    direction: t.field({ type: OrderDirectionEnum, defaultValue: 'DESC', description: 'Which end comes first.' }),
  }),
})

/** The filter as the use cases take it. */
export function toJobFilter(filter: typeof JobFilterInput.$inferInput | null | undefined): JobFilter {
  if (!filter) return {}
  const { status, trainingType, framework, archived, ...others } = filter
  const given = Object.fromEntries(Object.entries(others).filter(([, value]) => value != null)) as Omit<JobFilter, 'statuses'>
  return {
    ...given,
    statuses: status ?? undefined,
    trainingTypes: trainingType ?? undefined,
    frameworks: framework ?? undefined,
    archived: archived ?? undefined,
  }
}

builder.queryFields((t) => ({
  job: t.field({
    type: JobRef,
    nullable: true,
    description: 'One job. An error with JOB_NOT_FOUND where there is none in the tenant. Needs scaimind:view.',
    args: {
      jobId: t.arg.id({ required: true, description: 'The job, by its own id or its global one.' }),
      consistency: t.arg({ type: ConsistencyEnum, defaultValue: 'CACHED', description: 'Where it is read.' }),
    },
    resolve: (_root, { jobId, consistency }, { operations, caller }) =>
      operations.jobs.get(caller, jobIdOf(jobId), { consistency: consistency ?? null }),
  }),
  jobs: t.connection(
    {
      type: JobRef,
      description:
        'The tenant’s jobs, newest first where no order is given. Pages stay in step while jobs are added. VALIDATION_ERROR names an argument that is wrong. Needs scaimind:view.',
      args: {
        filter: t.arg({ type: JobFilterInput, description: 'Which jobs; default all that are not archived.' }),
        orderBy: t.arg({ type: JobOrderInput, description: 'Their order; default newest first.' }),
      },
      complexity: ({ first, last }) => ({ field: 1, multiplier: Math.max(1, first ?? last ?? 20) }),
      resolve: async (_root, { filter, orderBy, ...page }, { operations, caller }, info) => {
        const wanted = toJobFilter(filter)
        const order = orderBy ? { field: orderBy.field, descending: orderBy.direction !== 'ASC' } : null
        const columns = selectedColumns(info)
        return { ...(await operations.jobs.list(caller, { filter: wanted, orderBy: order, page, columns })), filter: wanted }
      },
    },
    {
      name: 'JobConnection',
      description: 'A page of jobs.',
      fields: (connection) => ({
        totalCount: connection.int({
          description: 'Jobs that match, on all pages. Counted only where it is asked for.',
          complexity: 20,
          resolve: ({ filter }, _args, { operations, caller }) => operations.jobs.count(caller, filter),
        }),
      }),
    },
    { name: 'JobEdge', description: 'A job and its place in the list.' },
  ),
}))
