// A job of the trainer for HuggingFace models, run in an attempt's folder under its launcher, and by a plain script without any protocol.
import { execFile } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'
import { hfEnvironment, hfTrainerFolder } from '../../dist/hf-environment.js'

const run = promisify(execFile)
const plainScript = resolve(import.meta.dirname, '../peers/plain_sft.py')
const launcher = resolve(import.meta.dirname, '../../dist/launcher/main.js')
const environment = { PATH: process.env.PATH ?? '', HF_HUB_OFFLINE: '1', OMP_NUM_THREADS: process.env.OMP_NUM_THREADS ?? '1' }

/** The interpreter of the trainer. Throws where its packages are not installed. */
export function findPython() {
  if (process.env.SCAIMIND_HF_PYTHON) return process.env.SCAIMIND_HF_PYTHON
  const found = hfEnvironment(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'))
  if (!found || !existsSync(found.marker)) throw new Error('Run `node bin/scaimind.js trainers install` first, or set SCAIMIND_HF_PYTHON.')
  return found.python
}

/** Makes a Llama of random weights of these sizes in the folder, by the names of LlamaConfig for what make_tiny does not name; answers its path. */
export async function makeModel(folder, python, { hidden, layers, ...config }) {
  const model = join(folder, 'model')
  const make = `import json, sys; from pathlib import Path; sys.path.insert(0, sys.argv[1]); from make_tiny import make_tiny; make_tiny(Path(sys.argv[2]), ${hidden}, ${layers}, **json.loads(sys.argv[3]))`
  await run(python, ['-c', make, join(hfTrainerFolder, 'tests'), model, JSON.stringify(config)], { env: environment })
  return model
}

/** Writes data whose every record fills a row, and answers the job that both are given. */
export function makeJob(folder, { model, steps, trainingType, batchSize, rowTokens, gpuCount, dtype = '', learningRate = 0.001 }) {
  const data = join(folder, 'train.jsonl')
  const text = (i) => `${i} is followed by ${i + 1}, and that by ${i + 2}; `.repeat(Math.ceil(rowTokens / 30))
  writeFileSync(data, Array.from({ length: 512 }, (_, i) => JSON.stringify({ text: text(i) })).join('\n'))
  const adapter = trainingType === 'SFT' ? {} : { lora_r: '8' }
  return {
    version: 1,
    job_id: 'job_bench',
    tenant_id: 'bench',
    attempt: 1,
    token: '',
    name: 'bench',
    training_config: {
      training_type: trainingType,
      base_model: { model_id: model, dtype },
      framework: { type: 'HF_TRAINER' },
      hyperparameters: { max_steps: String(steps), learning_rate: String(learningRate), logging_steps: '10', ...adapter },
    },
    data_config: { sources: [{ path: data }], batch_size: batchSize, max_seq_length: rowTokens, seed: '42' },
    resource_config: { gpu_count: gpuCount },
    output_config: { save_strategy: 'NONE' },
    resume_from: null,
  }
}

/** Runs the job as an attempt in the folder; answers the seconds from the end of step `from` to that of the last, by the times of its metrics. */
export async function runAsAttempt(folder, job, python, { from, steps }) {
  const attempt = join(folder, 'attempts', '1')
  mkdirSync(attempt, { recursive: true })
  const token = 'bench'
  writeFileSync(join(attempt, 'job.json'), JSON.stringify({ ...job, token }))
  const order = {
    job_id: job.job_id,
    attempt: 1,
    token,
    command: [python, join(hfTrainerFolder, 'main.py')],
    environment: { ...environment, HOME: attempt },
    stop_grace_seconds: 60,
  }
  writeFileSync(join(attempt, 'launch.json'), JSON.stringify(order))
  await run(process.execPath, [launcher, attempt]).catch((error) => {
    const said = existsSync(join(attempt, 'logs.0.jsonl')) ? readFileSync(join(attempt, 'logs.0.jsonl'), 'utf8').slice(-2000) : ''
    throw new Error(`The attempt failed: ${said}`, { cause: error })
  })
  const records = readFileSync(join(attempt, 'metrics.jsonl'), 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line))
  const timeOf = (step) => Date.parse(records.find((record) => record.step === step && 'loss' in record.values).time)
  return (timeOf(steps) - timeOf(from)) / 1000
}

/** Runs the job by the plain script; answers the same seconds. */
export async function runAlone(folder, job, python, { from }) {
  const file = join(folder, 'job.json')
  writeFileSync(file, JSON.stringify(job))
  const { stdout } = await run(python, [plainScript, file, String(from)], {
    cwd: folder,
    env: { ...environment, HOME: folder },
    maxBuffer: 2 ** 24,
  })
  return JSON.parse(stdout.trim().split('\n').at(-1)).seconds
}
