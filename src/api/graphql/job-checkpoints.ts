import { Failure, InvalidInput } from '../../contract/failure.js'
import type { Checkpoint__Output } from '../../generated/proto/scaimind/v1/Checkpoint.js'
import type { PageArguments } from '../operations/job-types.js'
import { builder } from './builder.js'
import { JobRef } from './job.js'
import { CheckpointRef } from './job-history.js'

const keptMax = 1000
const sizeDefault = 20

builder.objectField(JobRef, 'checkpoints', (t) =>
  t.connection(
    {
      type: CheckpointRef,
      nullable: true,
      description:
        'Complete checkpoints over all attempts, newest first, of the newest 1,000; asked of the coordinator, once for all jobs of a page: null with an error where it is away. Pages stay in step while checkpoints are added.',
      complexity: ({ first, last }) => ({ field: 5, multiplier: first ?? last ?? sizeDefault }),
      resolve: async ({ job }, args, { loaders }) => {
        // A first page needs no more than itself, and one to know whether more follow.
        const isFirst = args.after == null && args.last == null && args.before == null
        const limit = isFirst ? Math.max(0, args.first ?? sizeDefault) + 1 : keptMax
        return pageOf(await loaders.checkpoints(limit).load(job.job_id), args)
      },
    },
    { name: 'CheckpointConnection', description: 'A page of checkpoints.' },
    { name: 'CheckpointEdge', description: 'A checkpoint and its place in the list.' },
  ),
)

/** A page of a list that newer ones are put in front of: a cursor names the checkpoint that it is of. */
function pageOf(all: readonly Checkpoint__Output[], { first, after, last, before }: PageArguments) {
  const wrong = Object.entries({ first, last }).flatMap(([path, value]) => (value != null && value < 1 ? [path] : []))
  if (wrong.length > 0) throw new InvalidInput(wrong.map((path) => ({ path, message: 'This is a whole number from 1 to 100.' })))
  if (first != null && last != null) throw new InvalidInput([{ path: 'last', message: 'Give first or last, not both.' }])
  const placeOf = (cursor: string, argument: string) => {
    const place = all.findIndex(({ checkpoint_id }) => checkpoint_id === cursor)
    if (place < 0) throw new Failure('CURSOR_INVALID', `${argument}: this is no cursor of these checkpoints, or its checkpoint is deleted.`)
    return place
  }
  const from = after ? placeOf(after, 'after') + 1 : 0
  const to = Math.max(from, before ? placeOf(before, 'before') : all.length)
  const start = last == null ? from : Math.max(from, to - last)
  const end = last == null ? Math.min(to, from + (first ?? sizeDefault)) : to
  const edges = all.slice(start, end).map((node) => ({ cursor: node.checkpoint_id, node }))
  return {
    edges,
    pageInfo: {
      hasNextPage: end < all.length,
      hasPreviousPage: start > 0,
      startCursor: edges[0]?.cursor ?? null,
      endCursor: edges.at(-1)?.cursor ?? null,
    },
  }
}
