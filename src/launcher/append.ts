import { openSync, writeSync } from 'node:fs'
import type { Fence } from './fence.js'

/** How old, in milliseconds, what is known of newer attempts may be when a line is written. */
const fenceAgeMs = 200

/** Appends whole lines to a file that nobody else writes, unless a newer attempt has begun. Answers whether all of it is there. */
export function lineAppender(path: string, fence: Fence, flags: 'a' | 'ax' = 'a'): (lines: string) => boolean {
  const file = openSync(path, flags, 0o644)
  let torn = false
  return (lines) => {
    fence.check(fenceAgeMs)
    // A full disk may have cut the last write short: its half line is ended, so that it spoils no other.
    const bytes = Buffer.from(torn ? `\n${lines}` : lines)
    let written = 0
    try {
      while (written < bytes.length) written += writeSync(file, bytes, written)
      torn = false
    } catch {
      torn ||= written > 0
    }
    return written === bytes.length
  }
}
