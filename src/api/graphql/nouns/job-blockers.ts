import type { JobView } from '../../operations/job-types.js'
import { builder } from '../builder.js'
import type { Context } from '../context.js'
import { orNull, timeOf } from '../scalars.js'
import { BlockerRef } from './blocker.js'
import { QueueEntryRef } from './cluster.js'
import { JobRef } from './job.js'

const live =
  'It changes without the job changing, so the coordinator is asked, once an operation: null with an error where it never answered.'

/** The job's entry in the queue; null where it does not wait. */
const entryOf = async ({ job }: JobView, { loaders }: Context) =>
  job.status === 'QUEUED' ? ((await loaders.queueEntries()).get(job.job_id) ?? null) : null

builder.objectFields(JobRef, (t) => ({
  queuePosition: t.int({
    nullable: true,
    description: `Its place in the queue while it is QUEUED, from 1, over all tenants; null otherwise. ${live}`,
    resolve: async (view, _args, context) => orNull((await entryOf(view, context))?.position),
  }),
  estimatedStart: t.field({
    type: 'DateTime',
    nullable: true,
    description: `When it would start by what is known now; null where that is unknown, and unless it is QUEUED. ${live}`,
    resolve: async (view, _args, context) => timeOf((await entryOf(view, context))?.estimated_start),
  }),
  blockers: t.field({
    type: [BlockerRef],
    nullable: true,
    complexity: { field: 1, multiplier: 3 },
    description: `Why it waits while it is QUEUED; empty otherwise. ${live}`,
    resolve: async (view, _args, context) => (await entryOf(view, context))?.blockers ?? [],
  }),
}))

builder.objectFields(QueueEntryRef, (t) => ({
  blockers: t.field({
    type: [BlockerRef],
    complexity: { field: 1, multiplier: 3 },
    description: 'Why it waits; empty where the job is another tenant’s.',
    // An answer that was kept before there were blockers has none.
    resolve: ({ blockers }) => blockers ?? [],
  }),
}))
