import { lstat, readdir, realpath, rm } from 'node:fs/promises'
import { dirname, join, sep } from 'node:path'

/** Bytes of the files in a folder and below it; 0 where it is missing. Links are not followed. */
export async function bytesUnder(path: string): Promise<number> {
  const entries = await readdir(path, { withFileTypes: true }).catch(absent)
  let bytes = 0
  for (const entry of entries ?? []) {
    const inner = join(path, entry.name)
    if (entry.isDirectory()) bytes += await bytesUnder(inner)
    else bytes += (await lstat(inner).catch(absent))?.size ?? 0
  }
  return bytes
}

/**
 * Deletes a folder that lies in another, with all that is in it; nothing where it is gone. What a trainer left as a link on the way is not
 * followed out of `within`: then nothing is deleted.
 */
export async function removeFolder(path: string, within: string): Promise<void> {
  const [parent, root] = await Promise.all([realpath(dirname(path)).catch(absent), realpath(within).catch(absent)])
  if (!parent || !root || !(parent === root || parent.startsWith(root + sep))) return
  await rm(path, { recursive: true, force: true })
}

function absent(error: unknown): null {
  const { code } = error as NodeJS.ErrnoException
  if (code === 'ENOENT' || code === 'ENOTDIR') return null
  throw error
}
