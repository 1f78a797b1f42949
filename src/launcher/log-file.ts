import { join } from 'node:path'
import { lineAppender } from './append.js'
import type { Fence } from './fence.js'
import { levelReader } from './level.js'
import { lineSplitter } from './lines.js'

/** `logs.<rank>.jsonl`: each line of output as one record. */
export interface LogFile {
  /** Takes a stream's next bytes; answers the lines that they end. */
  take(stream: OutputStream, chunk: Buffer): string[]
  /** Takes the end of a stream; answers its last line, where that has no end of its own. */
  finish(stream: OutputStream): string[]
  /** A line of the launcher's own, among the errors. */
  say(text: string): void
}

export type OutputStream = 'stdout' | 'stderr'

/** Opens the log of a rank. Where the disk is full lines are left out, and their number is told when there is room again: the trainer must not stand still for its log. */
export function openLogFile(directory: string, rank: number, fence: Fence): LogFile {
  const append = lineAppender(join(directory, `logs.${rank}.jsonl`), fence)
  const splitters = { stdout: lineSplitter(), stderr: lineSplitter() }
  const levels = { stdout: levelReader(), stderr: levelReader() }
  let seq = 0
  let lost = 0

  function write(stream: OutputStream, lines: string[], levelFor: (text: string) => string): string[] {
    if (lines.length === 0) return lines
    const time = new Date().toISOString()
    const notice = lost > 0 ? [{ level: 'WARN', text: `${lost} lines of output could not be written.` }] : []
    const entries = [...notice, ...lines.map((text) => ({ level: levelFor(text), text }))]
    const records = entries.map((entry, index) => JSON.stringify({ seq: seq + index, time, rank, stream, ...entry }))
    if (append(`${records.join('\n')}\n`)) {
      seq += records.length
      lost = 0
    } else lost += lines.length
    return lines
  }

  return {
    take: (stream, chunk) => write(stream, splitters[stream].push(chunk), levels[stream]),
    finish: (stream) => write(stream, splitters[stream].end(), levels[stream]),
    say: (text) => void write('stderr', [text], () => 'ERROR'),
  }
}
