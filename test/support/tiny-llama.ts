import { execFile } from 'node:child_process'
import { mkdirSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { promisify } from 'node:util'
import type { Tenant } from './tenant.js'

/** The trainer for HuggingFace models. */
export const hfTrainer = resolve(import.meta.dirname, '../../trainers/hf')

/** The interpreter that has its packages. The tests that ask for it run only where it is given. */
export const hfPython = process.env.SCAIMIND_HF_PYTHON ?? ''

/** What a stack needs to be told to train models of HuggingFace; nothing is fetched from anywhere. */
export const hfSettings = { SCAIMIND_HF_PYTHON: hfPython, SCAIMIND_CPU_SLOTS: '2' }

/** Makes a tiny Llama of random weights, with a tokenizer, that the tenant's jobs may name; answers its folder. The same every time. */
export async function tinyLlama(tenant: Pick<Tenant, 'files'>): Promise<string> {
  const folder = join(tenant.files, 'models', 'tiny-llama')
  mkdirSync(dirname(folder), { recursive: true })
  await promisify(execFile)(hfPython, [join(hfTrainer, 'tests/make_tiny.py'), folder], {
    env: { HF_HUB_OFFLINE: '1', OMP_NUM_THREADS: '1' },
  })
  return folder
}

/** A small job on that model, in GraphQL's shape. */
export function tinyLlamaInput(
  tenant: Tenant,
  model: string,
  {
    trainingType = 'LORA',
    hyperparameters = {},
    ...rest
  }: { trainingType?: string; hyperparameters?: Record<string, string>; [key: string]: unknown } = {},
) {
  const texts = Array.from({ length: 64 }, (_, i) => JSON.stringify({ text: `The number ${i} comes after the number ${i - 1}.` }))
  const given = { max_steps: '20', learning_rate: '0.01', logging_steps: '5', ...hyperparameters }
  return {
    name: `tiny ${trainingType}`,
    trainingConfig: {
      trainingType,
      baseModel: { modelId: model },
      hyperparameters: Object.entries(given).map(([key, value]) => ({ key, value })),
      environment: [
        { key: 'HF_HUB_OFFLINE', value: '1' },
        { key: 'OMP_NUM_THREADS', value: '1' },
      ],
    },
    dataConfig: { sources: [{ path: tenant.file('numbers.jsonl', texts.join('\n')) }], batchSize: 4, maxSeqLength: 64, seed: 7 },
    resourceConfig: { gpuCount: 0 },
    ...rest,
  }
}
