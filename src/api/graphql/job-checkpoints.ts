import { resolveArrayConnection } from '@pothos/plugin-relay'
import { builder } from './builder.js'
import { JobRef } from './job.js'
import { CheckpointRef } from './job-history.js'

const keptMax = 1000

builder.objectField(JobRef, 'checkpoints', (t) =>
  t.connection(
    {
      type: CheckpointRef,
      nullable: true,
      description:
        'Complete checkpoints over all attempts, newest first, of the newest 1,000; asked of the coordinator, once for all jobs of a page: null with an error where it is away.',
      complexity: ({ first, last }) => ({ field: 5, multiplier: first ?? last ?? 20 }),
      resolve: async ({ job }, { first, ...rest }, { loaders }) => {
        const size = first ?? (rest.last == null ? 20 : null)
        // A first page needs no more than itself, and one to know whether more follow.
        const limit = size !== null && rest.after == null && rest.before == null ? size + 1 : keptMax
        return resolveArrayConnection({ args: { ...rest, first: size } }, await loaders.checkpoints(limit).load(job.job_id))
      },
    },
    { name: 'CheckpointConnection', description: 'A page of checkpoints.' },
    { name: 'CheckpointEdge', description: 'A checkpoint and its place in the list.' },
  ),
)
