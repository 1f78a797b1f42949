import { Failure } from '../../contract/failure.js'
import { MethodNotAllowed } from './failure.js'
import type { Route } from './route.js'

/** Finds the route of a method and a path. Throws ROUTE_NOT_FOUND, or METHOD_NOT_ALLOWED where the path is known. */
export function matchRoute(routes: readonly Route[], method: string, path: string): { route: Route; id: string } {
  const found = routes.flatMap((route) => {
    const id = idIn(route.path, path)
    return id === undefined ? [] : [{ route, id }]
  })
  const match = found.find(({ route }) => route.method === method)
  if (match) return match
  if (found.length === 0) throw new Failure('ROUTE_NOT_FOUND', `There is no path ${path.slice(0, 200)} here.`)
  throw new MethodNotAllowed(
    method,
    path.slice(0, 200),
    found.map(({ route }) => route.method),
  )
}

/** What the path names under the pattern: an empty text where the pattern names nothing, undefined where they do not match. */
function idIn(pattern: string, path: string): string | undefined {
  const expected = pattern.split('/')
  const given = path.split('/')
  if (expected.length !== given.length) return undefined
  let id = ''
  for (const [index, segment] of expected.entries()) {
    const part = given[index] ?? ''
    if (segment !== '{id}') {
      if (segment !== part) return undefined
      continue
    }
    const decoded = decode(part)
    if (!decoded) return undefined
    id = decoded
  }
  return id
}

function decode(segment: string): string | undefined {
  try {
    return decodeURIComponent(segment)
  } catch {
    return undefined
  }
}
