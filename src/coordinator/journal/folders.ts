import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
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

/** `sha256:…` over the names and contents of a folder's files and those below it, in the order of their names. Links are left out. */
export async function hashFolder(path: string, isMeant: (name: string) => boolean = () => true): Promise<string> {
  const hash = createHash('sha256')
  for (const name of await filesUnder(path)) {
    if (!isMeant(name)) continue
    const content = createHash('sha256')
    for await (const chunk of createReadStream(join(path, name))) content.update(chunk as Buffer)
    hash.update(`${name}\n${content.digest('hex')}\n`)
  }
  return `sha256:${hash.digest('hex')}`
}

/** Names of a folder's files and those below it, in their order. Links are left out. */
export async function filesUnder(path: string, inner = ''): Promise<string[]> {
  const entries = (await readdir(join(path, inner), { withFileTypes: true })).sort((a, b) => (a.name < b.name ? -1 : 1))
  const names: string[] = []
  for (const entry of entries) {
    const name = inner === '' ? entry.name : `${inner}/${entry.name}`
    if (entry.isDirectory()) names.push(...(await filesUnder(path, name)))
    else if (entry.isFile()) names.push(name)
  }
  return names
}

/** Whether a folder really lies in another, links followed. */
export async function liesWithin(path: string, within: string): Promise<boolean> {
  const [real, root] = await Promise.all([realpath(path).catch(absent), realpath(within).catch(absent)])
  return real !== null && root !== null && (real === root || real.startsWith(root + sep))
}

/**
 * Deletes a folder that lies in another, with all that is in it; nothing where it is gone. What a trainer left as a link on the way is not
 * followed out of `within`: then nothing is deleted.
 */
export async function removeFolder(path: string, within: string): Promise<void> {
  if (!(await liesWithin(dirname(path), within))) return
  await rm(path, { recursive: true, force: true })
}

function absent(error: unknown): null {
  const { code } = error as NodeJS.ErrnoException
  if (code === 'ENOENT' || code === 'ENOTDIR') return null
  throw error
}
