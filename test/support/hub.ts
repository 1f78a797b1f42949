import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { createInterface } from 'node:readline'
import { hfPython, hfTrainer } from './tiny-llama.js'

/** A hub of models and data sets on loopback, which answers as huggingface.co does what the trainer's packages ask. */
export interface LoopbackHub {
  url: string
  /** Where its repositories lie, each as `org/name`. */
  folder: string
  /** Adds records to a data set, as one jsonl file of the repository. */
  dataset(file: `${string}/${string}/${string}.jsonl`, records: object[]): void
  close(): Promise<void>
}

export async function startHub(): Promise<LoopbackHub> {
  const folder = mkdtempSync(join(tmpdir(), 'scaimind-hub-'))
  const server = spawn(hfPython, [join(hfTrainer, 'tests/data/hub.py'), folder], { stdio: ['pipe', 'pipe', 'inherit'] })
  const [url] = (await once(createInterface({ input: server.stdout }), 'line')) as [string]
  return {
    url,
    folder,
    dataset(file, records) {
      mkdirSync(dirname(join(folder, file)), { recursive: true })
      writeFileSync(join(folder, file), records.map((record) => JSON.stringify(record)).join('\n'))
    },
    async close() {
      server.stdin.end()
      await once(server, 'close')
      rmSync(folder, { recursive: true })
    },
  }
}
