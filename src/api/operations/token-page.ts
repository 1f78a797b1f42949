import { Failure, InvalidInput } from '../../contract/failure.js'
import type { PageArguments } from './job-types.js'
import { type Page, pageSizeMax, readPage } from './paging.js'

// What was on a page when its cursor was given moves on as others are added; it is looked for on so many pages.
const pagesMax = 10

/** A page of a list that the coordinator tells by tokens, newest first. */
export interface TokenPage<Item> {
  items: Item[]
  /** Empty on the last page. */
  nextPageToken: string
  totalCount: number
}

/** A list that goes forwards by opaque tokens; the empty one begins. */
export interface TokenList<Item> {
  list(pageToken: string, pageSize: number): Promise<TokenPage<Item>>
  idOf(item: Item): string
  /** One of its items, in words: `data set`. */
  noun: string
}

/**
 * A page of a connection, of a list that goes forwards by opaque tokens. The coordinator has a token only for the end of a page, so that a cursor is the
 * token that its page was asked with and the item on it; the last one's is the token that goes on. Throws InvalidInput for `last` and `before`, CURSOR_INVALID
 * or CURSOR_EXPIRED for `after`.
 */
export async function pageByToken<Item>(source: TokenList<Item>, page: PageArguments): Promise<Page<Item> & { totalCount: number }> {
  const backward = page.last != null ? 'last' : page.before ? 'before' : null
  if (backward) {
    throw new InvalidInput([
      { path: backward, message: `A list of ${source.noun}s is read from the newest on, with first and after only.` },
    ])
  }
  const { size, after } = readPage(page)
  const { token, items, next, hasMore, totalCount } = await read(source, after ? parse(after, source) : { token: '' }, size)
  const edges = items.map((node, index) => ({
    cursor: format(next && index === items.length - 1 ? { token: next } : { token, after: source.idOf(node) }),
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

interface Part<Item> {
  /** What its page was asked with. */
  token: string
  items: Item[]
  /** What goes on after it, where the coordinator said that. */
  next: string
  hasMore: boolean
  totalCount: number
}

/** The page with this token, or what of it follows an item. */
async function read<Item>({ list, idOf, noun }: TokenList<Item>, { token, after }: Place, size: number): Promise<Part<Item>> {
  if (after === undefined) return whole(token, await list(token, size))
  let from = token
  for (let pages = 0; pages < pagesMax; pages++) {
    const { items, nextPageToken, totalCount } = await list(from, pageSizeMax)
    const index = items.findIndex((item) => idOf(item) === after)
    if (index >= 0) {
      const rest = items.slice(index + 1)
      if (rest.length === 0 && nextPageToken) return whole(nextPageToken, await list(nextPageToken, size))
      if (rest.length > size) return { token: from, items: rest.slice(0, size), next: '', hasMore: true, totalCount }
      return { token: from, items: rest, next: nextPageToken, hasMore: nextPageToken !== '', totalCount }
    }
    if (!nextPageToken) break
    from = nextPageToken
  }
  throw new Failure('CURSOR_EXPIRED', `after: the ${noun} that this cursor names is not in the list any more; begin anew.`)
}

const whole = <Item>(token: string, { items, nextPageToken, totalCount }: TokenPage<Item>): Part<Item> => ({
  token,
  items,
  next: nextPageToken,
  hasMore: nextPageToken !== '',
  totalCount,
})

interface Place {
  token: string
  /** The id of an item on that page. */
  after?: string
}

const format = ({ token, after }: Place): string =>
  Buffer.from(JSON.stringify(after === undefined ? [token] : [token, after])).toString('base64url')

function parse(text: string, { noun }: { noun: string }): Place {
  try {
    const [token, after] = JSON.parse(Buffer.from(text, 'base64url').toString()) as unknown[]
    if (typeof token === 'string' && (after === undefined || typeof after === 'string'))
      return after === undefined ? { token } : { token, after }
  } catch {
    // Said below.
  }
  throw new Failure('CURSOR_INVALID', `after: this is not a cursor of a list of ${noun}s.`)
}
