import { resolveArrayConnection } from '@pothos/plugin-relay'
import { builder } from './builder.js'
import { JobRef } from './job.js'
import { CheckpointRef } from './job-history.js'

builder.objectField(JobRef, 'checkpoints', (t) =>
  t.connection(
    {
      type: CheckpointRef,
      nullable: true,
      description:
        'Complete checkpoints over all attempts, newest first, of the newest 1,000; asked of the coordinator, once for all jobs of a page: null with an error where it is away.',
      complexity: ({ first, last }) => ({ field: 5, multiplier: first ?? last ?? 20 }),
      resolve: async ({ job }, { first, ...rest }, { loaders }) => {
        const beginning = rest.after == null && rest.last == null && rest.before == null
        const loader = beginning ? loaders.newestCheckpoints : loaders.checkpoints
        const args = { ...rest, first: first ?? (rest.last == null ? 20 : null) }
        return resolveArrayConnection({ args }, await loader.load(job.job_id))
      },
    },
    { name: 'CheckpointConnection', description: 'A page of checkpoints.' },
    { name: 'CheckpointEdge', description: 'A checkpoint and its place in the list.' },
  ),
)
