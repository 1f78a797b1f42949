/**
 * Trains the base weights of scaimind/byte-tiny from models/byte-tiny/corpus.txt.gz, about 11 minutes on one quiet core:
 *
 *     node --import tsx scripts/make-byte-tiny.ts [steps]
 *
 * The same Node version on the same kind of CPU gives the same weights again, byte for byte: everything is drawn from one seed.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { gunzipSync } from 'node:zlib'
import { type Example, layBatches, planBatches, ROW_LAYOUT } from '../src/trainer/data/batches.js'
import { BOS, EOS, encodeText } from '../src/trainer/data/tokens.js'
import { lossFunctions } from '../src/trainer/gradients.js'
import { BYTE_TINY } from '../src/trainer/model/config.js'
import { initialWeights } from '../src/trainer/model/initial.js'
import { fromTensors, toTensors } from '../src/trainer/model/tensors.js'
import { likelihood } from '../src/trainer/objective.js'
import { adamW, freshState } from '../src/trainer/optimizer.js'
import { permutation } from '../src/trainer/random.js'
import { writeSafetensors } from '../src/trainer/safetensors.js'
import { learningRateAt } from '../src/trainer/schedule.js'

const steps = Number(process.argv[2] ?? 1600)
const seed = 1611
const length = 128
const batchSize = 16
const folder = new URL('../models/byte-tiny/', import.meta.url)

const documents = gunzipSync(readFileSync(new URL('corpus.txt.gz', folder)))
  .toString('utf8')
  .split('\n\f\n')
const order = permutation(documents.length, seed, 'documents')
const stream = Uint16Array.from([...order].flatMap((index) => [BOS, ...encodeText(documents[index] as string), EOS]))
const learned = new Uint8Array(length + 1).fill(1, 1)
const windows: Example[] = []
for (let at = 0; at + length + 1 <= stream.length; at += length) windows.push({ tokens: stream.subarray(at, at + length + 1), learned })
const heldOut = windows.slice(-256)
const training = windows.slice(0, -256)

const plan = planBatches(training, { batchSize, accumulation: 1, length, seed }, ROW_LAYOUT)
const functions = lossFunctions(BYTE_TINY, likelihood, { frozen: null, adapterScale: 1 }, length)
const update = adamW({ beta1: 0.9, beta2: 0.95, epsilon: 1e-8, weightDecay: 0.05, maxGradNorm: 1 })
let state = freshState(toTensors(initialWeights(BYTE_TINY, seed)))
const schedule = { name: 'cosine' as const, peak: 4e-3, warmupSteps: 100, totalSteps: steps }

console.log(`${stream.length} tokens in ${documents.length} documents; ${steps} steps of ${batchSize} × ${length}`)
const started = performance.now()
let average = 0
for (let step = 1; step <= steps; step++) {
  const [rows] = plan.stepRows(step).batches
  if (!rows) throw new Error('an empty step')
  const { measured, gradients } = functions.measureWithGradients(state.parameters, rows)
  const next = update(state, gradients, step, learningRateAt(step, schedule))
  next.norm.dispose()
  state = next.state
  average = average ? 0.95 * average + 0.05 * measured.loss : measured.loss
  if (step % 50 === 0) console.log(`step ${step} loss ${average.toFixed(4)} ${((performance.now() - started) / 1000).toFixed(0)} s`)
}

let heldOutLoss = 0
for (const rows of layBatches(heldOut, { batchSize, length }, ROW_LAYOUT).batches)
  heldOutLoss += functions.measure(state.parameters, rows).loss
writeFileSync(new URL('model.safetensors', folder), writeSafetensors(fromTensors(state.parameters), { format: 'pt' }))
writeFileSync(new URL('config.json', folder), `${JSON.stringify(BYTE_TINY, null, 2)}\n`)
console.log(`held-out loss ${heldOutLoss.toFixed(4)} nats a byte, perplexity ${Math.exp(heldOutLoss).toFixed(3)}`)
