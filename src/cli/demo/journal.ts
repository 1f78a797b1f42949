import { createReadStream, existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'

/** How many records a job's journal holds, over all its attempts. */
export interface JournalCounts {
  metrics: number
  logLines: number
}

/** Counts the whole lines of a job's journal. */
export async function countJournal(jobFolder: string): Promise<JournalCounts> {
  const counts = { metrics: 0, logLines: 0 }
  const attempts = join(jobFolder, 'attempts')
  for (const attempt of existsSync(attempts) ? readdirSync(attempts) : []) {
    for (const file of readdirSync(join(attempts, attempt))) {
      if (file === 'metrics.jsonl') counts.metrics += await countLines(join(attempts, attempt, file))
      else if (/^logs\.\d+\.jsonl$/.test(file)) counts.logLines += await countLines(join(attempts, attempt, file))
    }
  }
  return counts
}

async function countLines(path: string): Promise<number> {
  let count = 0
  for await (const chunk of createReadStream(path) as AsyncIterable<Buffer>) {
    for (const byte of chunk) if (byte === 0x0a) count++
  }
  return count
}
