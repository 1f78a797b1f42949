import { Failure, InvalidInput } from '../../contract/failure.js'
import type { PageArguments } from '../operations/job-types.js'
import { type Page, pageSizeDefault, pageSizeMax, pageSizeProblem } from '../operations/paging.js'

/** A page of a list that is there as a whole. A cursor is the id of its item, so that pages stay in step while others come and go. */
export function pageOf<Item>(
  all: readonly Item[],
  idOf: (item: Item) => string,
  { first, after, last, before }: PageArguments,
): Page<Item> {
  for (const [path, size] of Object.entries({ first, last })) {
    if (size != null && (size < 1 || size > pageSizeMax)) throw pageSizeProblem(path)
  }
  if (first != null && last != null) throw new InvalidInput([{ path: 'last', message: 'Give first or last, not both.' }])
  const placeOf = (cursor: string, argument: string) => {
    const place = all.findIndex((item) => idOf(item) === cursor)
    if (place < 0) throw new Failure('CURSOR_INVALID', `${argument}: this is not a cursor of this list, or what it names is gone.`)
    return place
  }
  const from = after ? placeOf(after, 'after') + 1 : 0
  const to = Math.max(from, before ? placeOf(before, 'before') : all.length)
  const start = last == null ? from : Math.max(from, to - last)
  const end = last == null ? Math.min(to, from + (first ?? pageSizeDefault)) : to
  const edges = all.slice(start, end).map((node) => ({ cursor: idOf(node), node }))
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
