// What the trainer protocol costs: steps a second of the trainer for HuggingFace models in an attempt's folder, under its launcher, with journal, heartbeat, metrics of
// every step and its look at signals, against trl's SFTTrainer in a plain script with the same model, data and settings; by turns, checkpoints off. Needs
// `scaimind trainers install`, or SCAIMIND_HF_PYTHON.
import { execFile } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { homedir, tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'
import { hfEnvironment, hfTrainerFolder } from '../dist/hf-environment.js'
import { median, rounded, setting, spread } from './support/figures.mjs'

const run = promisify(execFile)
const rounds = setting('BENCH_ROUNDS', 5)
const steps = setting('BENCH_STEPS', 220)
/** The first steps are slower: memory is laid out. */
const from = 20
const hidden = setting('BENCH_HIDDEN', 128)
const layers = setting('BENCH_LAYERS', 2)
const plainScript = resolve(import.meta.dirname, 'peers/plain_sft.py')
const launcher = resolve(import.meta.dirname, '../dist/launcher/main.js')

/** Steps a second of both, medians over the rounds, and their ratio. */
export async function measure() {
  const python = findPython()
  const folder = mkdtempSync(join(tmpdir(), 'scaimind-bench-protocol-'))
  try {
    const job = await prepare(folder, python)
    const ours = []
    const plain = []
    for (let round = 1; round <= rounds; round++) {
      // Whoever is first has the machine as the one before left it.
      const turns = [
        async () => ours.push(await underProtocol(folder, job, python, round)),
        async () => plain.push(await alone(folder, job, python)),
      ]
      for (const turn of round % 2 === 0 ? turns : turns.reverse()) await turn()
      process.stderr.write(`round ${round}: ${rounded(ours.at(-1))} steps/s under the protocol, ${rounded(plain.at(-1))} without it\n`)
    }
    return {
      ratio: rounded(median(ours) / median(plain), 3),
      steps_per_second: rounded(median(ours)),
      plain_steps_per_second: rounded(median(plain)),
      ms_per_step_of_protocol: rounded(1000 / median(ours) - 1000 / median(plain), 3),
      spread: rounded(spread(ours)),
      plain_spread: rounded(spread(plain)),
    }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

function findPython() {
  if (process.env.SCAIMIND_HF_PYTHON) return process.env.SCAIMIND_HF_PYTHON
  const environment = hfEnvironment(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'))
  if (!environment || !existsSync(environment.marker))
    throw new Error('Run `node bin/scaimind.js trainers install` first, or set SCAIMIND_HF_PYTHON.')
  return environment.python
}

const environment = { PATH: process.env.PATH ?? '', HF_HUB_OFFLINE: '1', OMP_NUM_THREADS: process.env.OMP_NUM_THREADS ?? '1' }

/** Makes the model and the data; answers the job that both are given. */
async function prepare(folder, python) {
  const model = join(folder, 'model')
  const make = `import sys; from pathlib import Path; sys.path.insert(0, sys.argv[1]); from make_tiny import make_tiny; make_tiny(Path(sys.argv[2]), ${hidden}, ${layers})`
  await run(python, ['-c', make, join(hfTrainerFolder, 'tests'), model], { env: environment })
  const data = join(folder, 'train.jsonl')
  const lines = Array.from({ length: 512 }, (_, i) =>
    JSON.stringify({ text: `${i} is followed by ${i + 1}, and that by ${i + 2}; `.repeat(6) }),
  )
  writeFileSync(data, lines.join('\n'))
  return {
    version: 1,
    job_id: 'job_bench',
    tenant_id: 'bench',
    attempt: 1,
    token: '',
    name: 'bench',
    training_config: {
      training_type: 'LORA',
      base_model: { model_id: model },
      framework: { type: 'HF_TRAINER' },
      hyperparameters: { max_steps: String(steps), learning_rate: '0.001', logging_steps: '10', lora_r: '8' },
    },
    data_config: { sources: [{ path: data }], batch_size: 4, max_seq_length: 128, seed: '42' },
    resource_config: { gpu_count: setting('BENCH_GPUS', 0) },
    output_config: { save_strategy: 'NONE' },
    resume_from: null,
  }
}

/** Steps a second of one attempt, by the times of its metrics. */
async function underProtocol(folder, job, python, round) {
  const attempt = join(folder, `job-${round}`, 'attempts', '1')
  mkdirSync(attempt, { recursive: true })
  const token = `bench-${round}`
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
  return (steps - from) / ((timeOf(steps) - timeOf(from)) / 1000)
}

/** Steps a second of the plain script. */
async function alone(folder, job, python) {
  const file = join(folder, 'job.json')
  writeFileSync(file, JSON.stringify(job))
  const { stdout } = await run(python, [plainScript, file, String(from)], {
    cwd: folder,
    env: { ...environment, HOME: folder },
    maxBuffer: 2 ** 24,
  })
  return (steps - from) / JSON.parse(stdout.trim().split('\n').at(-1)).seconds
}
