import { InvalidInput } from '../../contract/failure.js'
import type { JobColumn } from '../cache/job-columns.js'
import { formatPlace, type JobSelection, parsePlace } from '../cache/job-query.js'
import type { CachedJob, JobCache, ListedJob } from '../cache/jobs.js'
import type { JobOrder, PageArguments } from './job-types.js'

/** Items of a page that is not told how long it is to be. */
export const pageSizeDefault = 20
/** Most items of a page. */
export const pageSizeMax = 100
/** The order of lists that are not told one. */
export const newestFirst: JobOrder = { field: 'created_at', descending: true }

/** A page of a Relay connection. */
export interface Page<Node> {
  edges: { cursor: string; node: Node }[]
  pageInfo: { hasNextPage: boolean; hasPreviousPage: boolean; startCursor: string | null; endCursor: string | null }
}

/** A page size that no list has. */
export const pageSizeProblem = (path: string) => new InvalidInput([{ path, message: `This is a whole number from 1 to ${pageSizeMax}.` }])

/** A list of cached jobs. */
interface Listing {
  cache: JobCache
  tenantId: string
  selection: JobSelection
  order: JobOrder
  /** Only these fields of the jobs; default all. */
  columns?: readonly JobColumn[] | undefined
}

/** Its cursor is made where it is asked for: most pages need one of twenty. */
class Edge<Node> {
  constructor(
    readonly node: Node,
    private readonly row: ListedJob,
    private readonly order: JobOrder,
  ) {}
  get cursor(): string {
    return formatPlace(this.order, this.row.place)
  }
}

class PlaceInList<Node> {
  constructor(
    private readonly edges: readonly Edge<Node>[],
    readonly hasNextPage: boolean,
    readonly hasPreviousPage: boolean,
  ) {}
  get startCursor(): string | null {
    return this.edges[0]?.cursor ?? null
  }
  get endCursor(): string | null {
    return this.edges.at(-1)?.cursor ?? null
  }
}

/** A page of cached jobs in an order, in either direction; rows that are added or removed meanwhile move nothing. */
export async function cachedPage<Node>(
  { cache, tenantId, selection, order, columns }: Listing,
  page: PageArguments,
  toNode: (cached: CachedJob) => Node,
): Promise<Page<Node>> {
  const { size, backward, after, before } = readPage(page)
  const place = backward ? before : after
  // Backwards is the opposite order, turned round again.
  const reading = { ...order, descending: order.descending !== backward }
  const start = place ? parsePlace(place, order, backward ? 'before' : 'after') : undefined
  const rows = await cache.list(tenantId, selection, reading, size + 1, start, columns)
  const hasMore = rows.length > size
  const shown = rows.slice(0, size)
  if (backward) shown.reverse()
  const edges = shown.map((row) => new Edge(toNode(row), row, order))
  return {
    edges,
    pageInfo: new PlaceInList(edges, backward ? Boolean(before) : hasMore, backward ? hasMore : Boolean(after)),
  }
}

/** Reads the arguments of a page. Throws an InvalidInput that names the one that does not fit. */
export function readPage({ first, after, last, before }: PageArguments) {
  if (first != null && last != null) throw new InvalidInput([{ path: 'last', message: 'Give first or last, not both.' }])
  if (after && (last != null || before)) throw new InvalidInput([{ path: 'after', message: 'after goes with first, before with last.' }])
  if (before && first != null) throw new InvalidInput([{ path: 'before', message: 'before goes with last, after with first.' }])
  const backward = last != null || Boolean(before)
  const size = (backward ? last : first) ?? pageSizeDefault
  if (size < 1 || size > pageSizeMax) throw pageSizeProblem(backward ? 'last' : 'first')
  return { size, backward, after, before }
}
