import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { root } from './steps.mjs'

/** A hash over the contents of files and folders (relative to the root), and over words such as versions. */
export function hashOf(paths, words = []) {
  const hash = createHash('sha256')
  for (const word of words) hash.update(`${word}\0`)
  for (const file of paths.flatMap(filesUnder).sort())
    hash
      .update(`${file}\0`)
      .update(readFileSync(join(root, file)))
      .update('\0')
  return hash.digest('hex')
}

/** Whether the stamp says that its outputs were made from inputs with this hash, and the outputs are still there. */
export function isFresh(stamp, hash, outputs) {
  const path = join(root, stamp)
  return outputs.every((output) => existsSync(join(root, output))) && existsSync(path) && readFileSync(path, 'utf8') === hash
}

/** Writes down from which inputs the outputs were made. */
export function writeStamp(stamp, hash) {
  mkdirSync(dirname(join(root, stamp)), { recursive: true })
  writeFileSync(join(root, stamp), hash)
}

/** All files under a path, relative to the root; none where there is no such path. */
export function filesUnder(path) {
  const full = join(root, path)
  if (!existsSync(full)) return []
  const entries = readdirSyncOrFile(full)
  if (entries === null) return [path]
  return entries.flatMap((entry) => filesUnder(`${path}/${entry}`))
}

function readdirSyncOrFile(path) {
  try {
    return readdirSync(path)
  } catch (error) {
    if (error.code === 'ENOTDIR') return null
    throw error
  }
}
