// What the trainer protocol costs: steps a second of the trainer for HuggingFace models in an attempt's folder, under its launcher, with journal, heartbeat, metrics of
// every step and its look at signals, against trl's SFTTrainer in a plain script with the same model, data and settings; by turns, checkpoints off. Needs
// `scaimind trainers install`, or SCAIMIND_HF_PYTHON.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { median, rounded, setting, spread } from './support/figures.mjs'
import { findPython, makeJob, makeModel, runAlone, runAsAttempt } from './support/trainer-runs.mjs'

const rounds = setting('BENCH_ROUNDS', 5)
const steps = setting('BENCH_STEPS', 220)
/** The first steps are slower: memory is laid out. */
const from = 20

/** Steps a second of both, medians over the rounds, and their ratio. */
export async function measure() {
  const python = findPython()
  const folder = mkdtempSync(join(tmpdir(), 'scaimind-bench-protocol-'))
  try {
    const model = await makeModel(folder, python, { hidden: setting('BENCH_HIDDEN', 128), layers: setting('BENCH_LAYERS', 2) })
    const job = makeJob(folder, { model, steps, trainingType: 'LORA', batchSize: 4, rowTokens: 128, gpuCount: setting('BENCH_GPUS', 0) })
    const paceOf = (seconds) => (steps - from) / seconds
    const ours = []
    const plain = []
    for (let round = 1; round <= rounds; round++) {
      // Whoever is first has the machine as the one before left it.
      const turns = [
        async () => ours.push(paceOf(await runAsAttempt(join(folder, `job-${round}`), job, python, { from, steps }))),
        async () => plain.push(paceOf(await runAlone(folder, job, python, { from }))),
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
