import { lstat, readlink } from 'node:fs/promises'
import { dirname, join, resolve, sep } from 'node:path'

/** Where a path leads. */
export interface Location {
  /** Absolute, without links and `..`; what does not exist is taken by its name. */
  path: string
  exists: boolean
  /** Set where the last thing that exists on the way is no folder, and more was to follow. */
  blockedBy: string | null
}

/** As many as systems follow. */
const linksMax = 40

/**
 * Follows an absolute path, link by link, further than `realpath` does: also where it ends in nothing it says where that nothing would be. So a
 * link to a missing file outside is told from a missing file inside. Null where it goes round in circles or may not be looked at.
 */
export async function locate(path: string): Promise<Location | null> {
  let rest = partsOf(path)
  let here: string = sep
  let exists = true
  let links = 0
  while (rest.length > 0) {
    const [part = '', ...following] = rest
    rest = following
    if (part === '..') {
      here = dirname(here)
      continue
    }
    const next = join(here, part)
    const found = await lookAt(next)
    if (found === 'unreadable') return null
    if (found === 'missing') {
      exists = false
      here = next
      continue
    }
    if (found === 'link') {
      if (++links > linksMax) return null
      const target = resolve(here, await readlink(next))
      rest = [...partsOf(target), ...rest]
      here = sep
      continue
    }
    if (found === 'other' && rest.length > 0) return { path: next, exists: false, blockedBy: next }
    here = next
  }
  return { path: here, exists, blockedBy: null }
}

/** Whether a located path is a folder itself or lies in it. */
export function isWithin(path: string, folder: string): boolean {
  return path === folder || path.startsWith(folder.endsWith(sep) ? folder : folder + sep)
}

const partsOf = (path: string) => path.split(sep).filter((part) => part !== '' && part !== '.')

async function lookAt(path: string): Promise<'folder' | 'link' | 'other' | 'missing' | 'unreadable'> {
  try {
    const stat = await lstat(path)
    if (stat.isSymbolicLink()) return 'link'
    return stat.isDirectory() ? 'folder' : 'other'
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    return code === 'ENOENT' || code === 'ENOTDIR' ? 'missing' : 'unreadable'
  }
}
