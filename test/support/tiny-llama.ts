import { execFile } from 'node:child_process'
import { mkdirSync } from 'node:fs'
import { dirname, isAbsolute, join, resolve } from 'node:path'
import { promisify } from 'node:util'
import type { Tenant } from './tenant.js'

/** The trainer for HuggingFace models. */
export const hfTrainer = resolve(import.meta.dirname, '../../trainers/hf')

/** The interpreter that has its packages. The tests that ask for it run only where it is given. */
export const hfPython = process.env.SCAIMIND_HF_PYTHON ?? ''

/** What a stack needs to be told to train models of HuggingFace; nothing is fetched from anywhere. */
export const hfSettings = { SCAIMIND_HF_PYTHON: hfPython, SCAIMIND_CPU_SLOTS: '2' }

/** Makes a tiny Llama of random weights, with a tokenizer; answers the folder, by default one that the tenant's jobs may name. The same every time. */
export async function tinyLlama(tenant: Pick<Tenant, 'files'>, folder = join(tenant.files, 'models', 'tiny-llama')): Promise<string> {
  mkdirSync(dirname(folder), { recursive: true })
  await promisify(execFile)(hfPython, [join(hfTrainer, 'tests/make_tiny.py'), folder], {
    env: { HF_HUB_OFFLINE: '1', OMP_NUM_THREADS: '1' },
  })
  return folder
}

/** The records that each training type learns from, and its settings besides those of all. */
const lessons: Record<string, { records: object[]; hyperparameters?: Record<string, string>; batchSize?: number }> = {
  LORA: { records: many((i) => ({ text: `The number ${i} comes after the number ${i - 1}.` })) },
  SFT: {
    records: many((i) => ({ prompt: `What comes after ${i}?`, completion: ` The number ${i + 1}.` })),
    hyperparameters: { learning_rate: '0.003' },
  },
  CONTINUED_PRETRAIN: {
    records: many((i) => ({ text: `The number ${i} comes after the number ${i - 1}.` })),
    hyperparameters: { learning_rate: '0.003' },
  },
  FULL_FINETUNE: {
    records: many((i) => ({ text: `The number ${i} comes after the number ${i - 1}.` })),
    hyperparameters: { learning_rate: '0.003' },
  },
  DPO: {
    records: many((i) => ({ prompt: `Is ${i} a number? `, chosen: 'yes, certainly', rejected: 'no, never' })),
    hyperparameters: { learning_rate: '0.005', lora_r: '8' },
  },
  RLHF: {
    records: many((i) => ({ prompt: `say e ${i}` })),
    hyperparameters: { learning_rate: '0.02', lora_r: '8', num_generations: '8', max_completion_length: '12', beta: '0.01' },
    batchSize: 16,
  },
}

function many(recordOf: (i: number) => object): object[] {
  return Array.from({ length: 64 }, (_, i) => recordOf(i))
}

/** Rewards letters. */
const rewardFunction = `
def reward(completions, prompts=None, **columns):
    return [sum(letter.isascii() and letter.isalpha() for letter in text) / max(len(text), 1) for text in completions]
`

/** A small job on that model, in GraphQL's shape. */
export function tinyLlamaInput(
  tenant: Tenant,
  model: string,
  {
    trainingType = 'LORA',
    framework,
    maxRetries,
    hyperparameters = {},
    ...rest
  }: {
    trainingType?: string
    framework?: object
    maxRetries?: number
    hyperparameters?: Record<string, string>
    [key: string]: unknown
  } = {},
) {
  const { records, hyperparameters: its, batchSize = 4 } = lessons[trainingType] ?? { records: [] }
  const reward = trainingType === 'RLHF' ? { reward_function: tenant.file('reward.py', rewardFunction) } : {}
  const given = { max_steps: '20', learning_rate: '0.01', logging_steps: '5', ...its, ...reward, ...hyperparameters }
  const path = tenant.file(`${trainingType}.jsonl`, records.map((record) => JSON.stringify(record)).join('\n'))
  return {
    name: `tiny ${trainingType}`,
    trainingConfig: {
      trainingType,
      baseModel: { modelId: model },
      framework,
      maxRetries,
      hyperparameters: Object.entries(given).map(([key, value]) => ({ key, value })),
      environment: [
        { key: 'HF_HUB_OFFLINE', value: isAbsolute(model) ? '1' : '0' },
        { key: 'OMP_NUM_THREADS', value: '1' },
      ],
    },
    dataConfig: { sources: [{ path }], batchSize, ...(trainingType === 'RLHF' ? {} : { maxSeqLength: 64 }), seed: 7 },
    resourceConfig: { gpuCount: 0 },
    ...rest,
  }
}

/** Loads a job's output in a process of its own, an adapter by peft; answers how far its logits are from the base model's. */
export async function outputLoads({ kind, path }: { kind: string; path: string }, model: string): Promise<number> {
  const words = [resolve(import.meta.dirname, 'output-loads.py'), kind, path, model]
  const { stdout } = await promisify(execFile)(hfPython, words, { env: { HF_HUB_OFFLINE: '1', OMP_NUM_THREADS: '1' } })
  return Number(stdout.trim().split('\n').at(-1))
}
