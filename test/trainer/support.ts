import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { modelFiles } from '../../src/trainer/artefacts.js'
import { writeFolder } from '../../src/trainer/durable.js'
import { BYTE_TINY, type ModelConfig } from '../../src/trainer/model/config.js'
import { initialWeights } from '../../src/trainer/model/initial.js'

export type Json = Record<string, unknown>

const program = fileURLToPath(new URL('../../src/trainer/main.ts', import.meta.url))
const nodeArguments = ['--import', 'tsx', program]

/** A model that trains in milliseconds a step and knows nothing. */
export const MINUTE: ModelConfig = {
  ...BYTE_TINY,
  hidden_size: 16,
  num_hidden_layers: 1,
  num_attention_heads: 2,
  intermediate_size: 32,
  max_position_embeddings: 64,
}

/** A fresh folder under the system's temporary one. */
export function temporaryFolder(): string {
  return mkdtempSync(join(tmpdir(), 'scaimind-trainer-'))
}

/** A folder with a random model, made from a seed. */
export function minuteModel(config: ModelConfig = MINUTE): string {
  const folder = join(temporaryFolder(), 'model')
  const weights = initialWeights(config, 7)
  writeFolder(folder, modelFiles({ config, weights, hash: '' }, weights))
  return folder
}

/** A file of prompt and completion records that a tiny model can learn. */
export function pairsFile(count: number): string {
  const path = join(temporaryFolder(), 'pairs.jsonl')
  const lines = Array.from({ length: count }, (_, n) =>
    JSON.stringify({ prompt: `item ${n}`, completion: `the number ${n} and ${n % 7} again` }),
  )
  writeFileSync(path, `${lines.join('\n')}\n`)
  return path
}

/** A file of preferences that a tiny model can learn: the one answer counts, the other shouts. */
export function preferencesFile(count: number): string {
  const path = join(temporaryFolder(), 'preferences.jsonl')
  const lines = Array.from({ length: count }, (_, n) =>
    JSON.stringify({ prompt: `item ${n}`, chosen: `the number ${n % 7}`, rejected: `THE NUMBER ${n % 5}!` }),
  )
  writeFileSync(path, `${lines.join('\n')}\n`)
  return path
}

/** A submission that is right, with the parts given replaced. */
export function jobOf(parts: { training?: Json; hyperparameters?: Json; data?: Json; output?: Json; resources?: Json; top?: Json }): Json {
  return {
    version: 1,
    job_id: 'job_test',
    attempt: 1,
    name: 'a test',
    training_config: {
      training_type: 'LORA',
      base_model: { model_id: 'scaimind/byte-tiny' },
      framework: { type: 'HF_TRAINER' },
      hyperparameters: { learning_rate: '0.02', ...parts.hyperparameters },
      ...parts.training,
    },
    data_config: { batch_size: 4, seed: 42, max_seq_length: 48, ...parts.data },
    resource_config: { ...parts.resources },
    output_config: { save_strategy: 'NONE', ...parts.output },
    resume_from: null,
    ...parts.top,
  }
}

/** An attempt's folder that holds `job`. */
export function attemptFolder(job: Json): string {
  const folder = temporaryFolder()
  writeFileSync(join(folder, 'job.json'), JSON.stringify(job))
  return folder
}

/** The whole lines of one of an attempt's files. */
export function readLines(folder: string, file: string): Json[] {
  const path = join(folder, file)
  if (!existsSync(path)) return []
  const lines = readFileSync(path, 'utf8').split('\n').slice(0, -1)
  return lines.map((line) => JSON.parse(line) as Json)
}

/** The events of one type. */
export function eventsOf(folder: string, type: string): Json[] {
  return readLines(folder, 'events.jsonl').filter((event) => event.type === type)
}

/** The values of one metric, as [step, value]. */
export function metricOf(folder: string, name: string): [number, number][] {
  return readLines(folder, 'metrics.jsonl').flatMap(({ step, values }) => {
    const value = (values as Record<string, number>)[name]
    return value === undefined ? [] : [[step as number, value] as [number, number]]
  })
}

/** A trainer that runs in a folder, as a launcher would start it. */
export interface RunningTrainer {
  process: ChildProcess
  /** Resolves with the exit code once it has ended. */
  ended: Promise<{ code: number | null; stdout: string; stderr: string }>
  /** Resolves when `metrics.jsonl` has a training step of this number. Rejects where the trainer ends before. */
  untilStep(step: number): Promise<void>
  /** Resolves when an event of this type is written. Rejects where the trainer ends before. */
  untilEvent(type: string): Promise<void>
}

export function startTrainer(folder: string): RunningTrainer {
  const child = spawn(process.execPath, nodeArguments, { env: { ...process.env, SCAIMIND_JOB_DIR: folder, RANK: '0', WORLD_SIZE: '1' } })
  let stdout = ''
  let stderr = ''
  child.stdout.on('data', (chunk) => {
    stdout += chunk
  })
  child.stderr.on('data', (chunk) => {
    stderr += chunk
  })
  const ended = new Promise<{ code: number | null; stdout: string; stderr: string }>((resolve) => {
    child.on('close', (code) => resolve({ code, stdout, stderr }))
  })
  const until = async (happened: () => boolean): Promise<void> => {
    while (!happened()) {
      if (child.exitCode !== null) throw new Error(`the trainer ended with ${child.exitCode} in ${folder}: ${stdout}${stderr}`)
      await new Promise((resolve) => setTimeout(resolve, 10))
    }
  }
  return {
    process: child,
    ended,
    untilStep: (step) => until(() => metricOf(folder, 'loss').some(([at]) => at >= step)),
    untilEvent: (type) => until(() => eventsOf(folder, type).length > 0),
  }
}

/** Runs an attempt to its end. */
export async function runTrainer(folder: string): Promise<{ code: number | null; stdout: string; stderr: string }> {
  return startTrainer(folder).ended
}

/** What `--validate` answers for a submission. */
export function validate(job: unknown): { problems: { path: string; message: string }[]; data: Json[] } {
  const result = spawnSync(process.execPath, [...nodeArguments, '--validate'], { input: JSON.stringify(job), encoding: 'utf8' })
  return JSON.parse(result.stdout) as ReturnType<typeof validate>
}
