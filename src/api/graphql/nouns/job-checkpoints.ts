import { pageSizeDefault } from '../../operations/paging.js'
import { builder } from '../builder.js'
import { pageOf } from '../whole-list.js'
import { JobRef } from './job.js'
import { CheckpointRef } from './job-history.js'

const keptMax = 1000

builder.objectField(JobRef, 'checkpoints', (t) =>
  t.connection(
    {
      type: CheckpointRef,
      nullable: true,
      description:
        'Complete checkpoints over all attempts, newest first, of the newest 1,000; asked of the coordinator, once for all jobs of a page: null with an error where it is away. Pages stay in step while checkpoints are added.',
      complexity: ({ first, last }) => ({ field: 5, multiplier: Math.max(1, first ?? last ?? pageSizeDefault) }),
      resolve: async ({ job }, args, { loaders }) => {
        // A first page needs no more than itself, and one to know whether more follow.
        const isFirst = args.after == null && args.last == null && args.before == null
        const limit = isFirst ? Math.max(0, args.first ?? pageSizeDefault) + 1 : keptMax
        return pageOf(await loaders.checkpoints(limit).load(job.job_id), ({ checkpoint_id }) => checkpoint_id, args)
      },
    },
    { name: 'CheckpointConnection', description: 'A page of checkpoints.' },
    { name: 'CheckpointEdge', description: 'A checkpoint and its place in the list.' },
  ),
)
