import { Failure, InvalidInput } from '../../contract/failure.js'
import type { Dataset__Output } from '../../generated/proto/scaimind/v1/Dataset.js'
import type { DatasetPage } from './data-types.js'
import type { PageArguments } from './job-types.js'
import { type Page, pageSizeMax, readPage } from './paging.js'

// A data set that was on a page when its cursor was given moves on as others are added; it is looked for on so many pages.
const pagesMax = 10

type List = (pageToken: string, pageSize: number) => Promise<DatasetPage>

/**
 * A page of a connection, of a list that goes forwards by opaque tokens. The coordinator has a token only for the end of a page, so that a cursor is the
 * token that its page was asked with and the data set on it; the last one's is the token that goes on.
 */
export async function pageOfDatasets(list: List, page: PageArguments): Promise<Page<Dataset__Output> & { totalCount: number }> {
  const backward = page.last != null ? 'last' : page.before ? 'before' : null
  if (backward) {
    throw new InvalidInput([{ path: backward, message: 'Data sets are read from the newest on, with first and after only.' }])
  }
  const { size, after } = readPage(page)
  const { token, datasets, next, hasMore, totalCount } = await read(list, after ? parse(after) : { token: '' }, size)
  const edges = datasets.map((node, index) => ({
    cursor: format(next && index === datasets.length - 1 ? { token: next } : { token, after: node.dataset_id }),
    node,
  }))
  return {
    edges,
    pageInfo: {
      hasNextPage: hasMore,
      hasPreviousPage: Boolean(after),
      startCursor: edges[0]?.cursor ?? null,
      endCursor: edges.at(-1)?.cursor ?? null,
    },
    totalCount,
  }
}

interface Part {
  /** What its page was asked with. */
  token: string
  datasets: Dataset__Output[]
  /** What goes on after it, where the coordinator said that. */
  next: string
  hasMore: boolean
  totalCount: number
}

/** The page with this token, or what of it follows a data set. */
async function read(list: List, { token, after }: Place, size: number): Promise<Part> {
  if (after === undefined) return whole(token, await list(token, size))
  let from = token
  for (let pages = 0; pages < pagesMax; pages++) {
    const { datasets, nextPageToken, totalCount } = await list(from, pageSizeMax)
    const index = datasets.findIndex(({ dataset_id }) => dataset_id === after)
    if (index >= 0) {
      const rest = datasets.slice(index + 1)
      if (rest.length === 0 && nextPageToken) return whole(nextPageToken, await list(nextPageToken, size))
      if (rest.length > size) return { token: from, datasets: rest.slice(0, size), next: '', hasMore: true, totalCount }
      return { token: from, datasets: rest, next: nextPageToken, hasMore: nextPageToken !== '', totalCount }
    }
    if (!nextPageToken) break
    from = nextPageToken
  }
  throw new Failure('CURSOR_EXPIRED', 'after: the data set that this cursor names is not in the list any more; begin anew.')
}

const whole = (token: string, { datasets, nextPageToken, totalCount }: DatasetPage): Part => ({
  token,
  datasets,
  next: nextPageToken,
  hasMore: nextPageToken !== '',
  totalCount,
})

interface Place {
  token: string
  /** A data set on that page. */
  after?: string
}

const format = ({ token, after }: Place): string =>
  Buffer.from(JSON.stringify(after === undefined ? [token] : [token, after])).toString('base64url')

function parse(text: string): Place {
  try {
    const [token, after] = JSON.parse(Buffer.from(text, 'base64url').toString()) as unknown[]
    if (typeof token === 'string' && (after === undefined || typeof after === 'string'))
      return after === undefined ? { token } : { token, after }
  } catch {
    // Said below.
  }
  throw new Failure('CURSOR_INVALID', 'after: this is not a cursor of a list of data sets.')
}
