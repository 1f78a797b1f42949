import { stat } from 'node:fs/promises'
import { isAbsolute, join } from 'node:path'
import { InvalidInput } from '../../contract/failure.js'
import { isWithin, type Location, locate } from './locate.js'

/** A path that a tenant named, and where it may lead. */
export interface AllowedPathOptions {
  path: string
  tenantId: string
  /** The operator's folders; `{tenant}` is replaced. */
  dataRoots: string[]
  /** The field the path came from, for the refusal: `data_config.sources[0].path`. */
  field: string
}

/**
 * The real path of an existing file or folder that the tenant may name: absolute, links followed, under one of the data roots. A relative
 * path is looked for in each root in turn. Throws InvalidInput (INVALID_ARGUMENT); the refusal never tells whether something outside exists.
 */
export async function resolveAllowedPath(options: AllowedPathOptions): Promise<string> {
  const places = await locateInside(options)
  const last = places.at(-1)
  if (last?.exists) return last.path
  throw refusal(options, last ? `${quoted(options.path)} does not exist.` : outside(options))
}

/** The same for a folder that may yet have to be made: its nearest existing parent must be allowed. Makes nothing. */
export async function resolveAllowedFolder(options: AllowedPathOptions): Promise<string> {
  const places = await locateInside(options)
  const place = places.find(({ exists }) => exists) ?? places[0]
  if (!place) throw refusal(options, outside(options))
  const file = place.blockedBy ?? (place.exists && !(await stat(place.path)).isDirectory() ? place.path : null)
  if (file) throw refusal(options, `${quoted(options.path)} cannot be a folder: ${file} is a file.`)
  return place.path
}

/** The places that the path may mean, in the order of the roots, up to the first that lies under none. */
async function locateInside({ path, tenantId, dataRoots, field }: AllowedPathOptions): Promise<Location[]> {
  if (path === '') throw new InvalidInput([{ path: field, message: 'A path is required.' }], 'INVALID_ARGUMENT')
  if (path.includes('\0')) return []
  const named = dataRoots.map((root) => root.replaceAll('{tenant}', tenantId))
  const located = await Promise.all(named.map((root) => locate(root)))
  const roots = located.flatMap((root) => (root ? [root.path] : []))
  const candidates = isAbsolute(path) ? [path] : named.map((root) => join(root, path))
  const places: Location[] = []
  for (const candidate of candidates) {
    const place = await locate(candidate)
    if (!place || !roots.some((root) => isWithin(place.path, root))) break
    places.push(place)
    if (place.exists) break
  }
  return places
}

const quoted = (path: string) => JSON.stringify(path.slice(0, 200))

function outside({ path, tenantId, dataRoots }: AllowedPathOptions): string {
  const roots = dataRoots.map((root) => root.replaceAll('{tenant}', tenantId)).join(', ')
  return `${quoted(path)} is not under a folder that files may be named in: ${roots}.`
}

function refusal({ field }: AllowedPathOptions, message: string): InvalidInput {
  return new InvalidInput([{ path: field, message }], 'INVALID_ARGUMENT')
}
