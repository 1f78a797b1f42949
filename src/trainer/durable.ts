import { closeSync, fsyncSync, mkdirSync, openSync, renameSync, rmSync, writeSync } from 'node:fs'
import { dirname, join } from 'node:path'
import type { Files } from './artefacts.js'

/**
 * Makes a folder of files appear whole or not at all: written under a temporary name beside it, synced, then renamed. An older folder
 * of that name is replaced. Answers its size in bytes. `ready` is called when all is written and nothing has its name yet; what it throws stops it there.
 */
export function writeFolder(folder: string, files: Files, ready: () => void = () => {}): number {
  const parent = dirname(folder)
  const temporary = `${folder}.tmp-${process.pid}`
  mkdirSync(parent, { recursive: true })
  rmSync(temporary, { recursive: true, force: true })
  mkdirSync(temporary)
  let bytes = 0
  for (const [name, content] of files) {
    writeSynced(join(temporary, name), content)
    bytes += content.length
  }
  syncFolder(temporary)
  ready()
  rmSync(folder, { recursive: true, force: true })
  renameSync(temporary, folder)
  syncFolder(parent)
  return bytes
}

function writeSynced(path: string, content: Buffer): void {
  const file = openSync(path, 'w')
  try {
    for (let done = 0; done < content.length; ) done += writeSync(file, content, done)
    fsyncSync(file)
  } finally {
    closeSync(file)
  }
}

function syncFolder(path: string): void {
  const folder = openSync(path, 'r')
  try {
    fsyncSync(folder)
  } finally {
    closeSync(folder)
  }
}
