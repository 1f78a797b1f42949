import { closeSync, existsSync, mkdirSync, openSync, readSync, renameSync, statSync } from 'node:fs'
import { join } from 'node:path'

const sizeMax = 20 * 1024 * 1024

/** The log of one process, kept from start to start; a large one makes place at a start, and one old one is kept. */
export class LogFile {
  readonly path: string
  #start = 0

  constructor(dataDir: string, name: string) {
    const folder = join(dataDir, 'logs')
    mkdirSync(folder, { recursive: true })
    this.path = join(folder, `${name}.log`)
  }

  /** Opens the log for one start of the process. The caller closes the descriptor. */
  open(): number {
    if (this.#size() > sizeMax) renameSync(this.path, `${this.path}.1`)
    this.#start = this.#size()
    return openSync(this.path, 'a', 0o600)
  }

  /** The last lines since the latest start. */
  tail(count: number): string[] {
    const size = this.#size()
    const from = Math.max(this.#start, size - 16 * 1024)
    if (size <= from) return []
    const file = openSync(this.path, 'r')
    try {
      const buffer = Buffer.alloc(size - from)
      const length = readSync(file, buffer, 0, buffer.length, from)
      return buffer.toString('utf8', 0, length).trimEnd().split('\n').slice(-count)
    } finally {
      closeSync(file)
    }
  }

  #size(): number {
    return existsSync(this.path) ? statSync(this.path).size : 0
  }
}
