// What training through us costs on GPUs: tokens a second and memory of LORA, QLORA and SFT on a Llama of some 1.2 billion random weights in bfloat16, as an attempt under
// its launcher against trl and peft in a plain script with the same model, data and settings; by turns, checkpoints off. Needs `scaimind trainers install` (for QLORA with
// `--extra qlora`), or SCAIMIND_HF_PYTHON. Without an NVIDIA GPU it trains a small model on the CPU, and leaves QLORA out.
import { execFile } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { median, rounded, setting } from './support/figures.mjs'
import { findPython, makeJob, makeModel, runAlone, runAsAttempt } from './support/trainer-runs.mjs'

const run = promisify(execFile)
const rounds = setting('BENCH_ROUNDS', 3)
const steps = setting('BENCH_STEPS', 60)
const from = 10
/** As Llama 3.2 1B is, but for its tokenizer. */
const large = {
  hidden: 2048,
  layers: 16,
  dtype: 'bfloat16',
  intermediate_size: 8192,
  num_attention_heads: 32,
  num_key_value_heads: 8,
  vocab_size: 128_256,
  max_position_embeddings: 4096,
  tie_word_embeddings: true,
}
const small = { hidden: 128, layers: 2, dtype: 'bfloat16', max_position_embeddings: 512 }

/** Of each training type the tokens a second of both and their ratio, medians over the rounds, and the GPU memory that each took at most, in 10^9 bytes. */
export async function measure() {
  const python = findPython()
  const isOnGpu = (await gpuMemory()) !== null
  const shape = isOnGpu ? { batchSize: 8, rowTokens: 1024 } : { batchSize: 4, rowTokens: 128 }
  const folder = mkdtempSync(join(tmpdir(), 'scaimind-bench-training-'))
  try {
    const model = await makeModel(folder, python, isOnGpu ? large : small)
    const figures = { gpu: isOnGpu }
    for (const trainingType of (await hasBitsandbytes(python)) && isOnGpu ? ['LORA', 'QLORA', 'SFT'] : ['LORA', 'SFT']) {
      const job = makeJob(folder, {
        ...shape,
        model,
        steps,
        trainingType,
        gpuCount: isOnGpu ? 1 : 0,
        dtype: 'bfloat16',
        learningRate: 1e-4,
      })
      const tokens = (steps - from) * shape.batchSize * shape.rowTokens
      const ours = []
      const plain = []
      for (let round = 1; round <= rounds; round++) {
        const at = join(folder, `${trainingType}-${round}`)
        const turns = [
          async () => ours.push(await withMemory(() => runAsAttempt(at, job, python, { from, steps }))),
          async () => plain.push(await withMemory(() => runAlone(folder, job, python, { from }))),
        ]
        for (const turn of round % 2 === 0 ? turns : turns.reverse()) await turn()
        const paces = [ours, plain].map((runs) => rounded(tokens / runs.at(-1).seconds, 0))
        process.stderr.write(`${trainingType}, round ${round}: ${paces[0]} tokens/s as a job, ${paces[1]} by a plain script\n`)
        rmSync(at, { recursive: true, force: true })
      }
      const paceOf = (runs) => median(runs.map(({ seconds }) => tokens / seconds))
      const memoryOf = (runs) => (isOnGpu ? rounded(Math.max(...runs.map(({ bytes }) => bytes)) / 1e9) : null)
      const name = trainingType.toLowerCase()
      figures[`${name}_ratio`] = rounded(paceOf(ours) / paceOf(plain), 3)
      figures[`${name}_tokens_per_second`] = rounded(paceOf(ours), 0)
      figures[`${name}_plain_tokens_per_second`] = rounded(paceOf(plain), 0)
      figures[`${name}_gpu_memory_gb`] = memoryOf(ours)
      figures[`${name}_plain_gpu_memory_gb`] = memoryOf(plain)
    }
    return figures
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

const hasBitsandbytes = (python) =>
  run(python, ['-c', 'import bitsandbytes']).then(
    () => true,
    () => false,
  )

/** Bytes in use on the first GPU; null where there is none. */
const gpuMemory = () =>
  run('nvidia-smi', ['--query-gpu=memory.used', '--format=csv,noheader,nounits', '--id=0']).then(
    ({ stdout }) => Number(stdout.trim()) * 2 ** 20,
    () => null,
  )

/** Runs something; answers its seconds, and by how much at most the memory in use on the first GPU grew meanwhile. */
async function withMemory(task) {
  const before = await gpuMemory()
  let most = before
  let isOver = false
  const watching = (async () => {
    while (!isOver && before !== null) {
      most = Math.max(most, (await gpuMemory()) ?? 0)
      await new Promise((later) => setTimeout(later, 200))
    }
  })()
  try {
    return { seconds: await task(), bytes: most - before }
  } finally {
    isOver = true
    await watching
  }
}
