import { createHash } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { type Files, readTrained, trainedFiles } from './artefacts.js'
import { writeFolder } from './durable.js'
import type { Fence } from './fence.js'
import type { Model } from './model/folder.js'
import type { TrainingPlan } from './plan.js'
import { TrainerFailure } from './problems.js'
import { readSafetensors, type TensorMap, writeSafetensors } from './safetensors.js'

/** Where a run is: enough to go on exactly. The order of the data, the schedule and the epoch follow from the step. */
export interface TrainerState {
  step: number
  epoch: number
  tokens_seen: number
  /** The last values of loss and eval_loss. */
  metrics: Record<string, number>
  /** What the run is a run of; only the same run can go on. */
  fingerprint: Fingerprint
}

/** Hashes of what a run depends on, part by part, so that a refusal can say which part differs. */
export type Fingerprint = { base_model: string; training: string; data: string }

/** Numbers at a step boundary. */
export interface Snapshot {
  trained: TensorMap
  mean: TensorMap
  square: TensorMap
  state: TrainerState
}

interface Manifest {
  version: 1
  step: number
  files: Record<string, { bytes: number; sha256: string }>
}

const MANIFEST = 'manifest.json'

/** Saves a checkpoint as `folder`, complete or not at all: `manifest.json` lists every file with size and SHA-256. Not where a newer attempt has begun meanwhile. Answers its bytes. */
export function saveCheckpoint(
  folder: string,
  { plan, model, fence }: { plan: TrainingPlan; model: Model; fence: Fence },
  { trained, mean, square, state }: Snapshot,
): number {
  const moments: TensorMap = new Map([
    ...[...mean].map(([name, tensor]) => [`mean.${name}`, tensor] as const),
    ...[...square].map(([name, tensor]) => [`square.${name}`, tensor] as const),
  ])
  const files: Files = new Map([
    ...trainedFiles(plan, model, trained),
    ['optimizer.safetensors', writeSafetensors(moments)],
    ['trainer_state.json', Buffer.from(`${JSON.stringify(state, null, 2)}\n`)],
  ])
  const manifest: Manifest = {
    version: 1,
    step: state.step,
    files: Object.fromEntries([...files].map(([name, content]) => [name, { bytes: content.length, sha256: sha256(content) }])),
  }
  files.set(MANIFEST, Buffer.from(`${JSON.stringify(manifest, null, 2)}\n`))
  return writeFolder(folder, files, () => fence.check())
}

/**
 * Reads a checkpoint to go on from. Throws a TrainerFailure that names the file where the folder is not complete and unchanged, or the
 * part of the job that is not the one the checkpoint was made for.
 */
export function loadCheckpoint(folder: string, plan: TrainingPlan, fingerprint: Fingerprint): Snapshot {
  const refuse = (reason: string): never => {
    throw new TrainerFailure('DATA', `Checkpoint ${basename(folder)} cannot be used: ${reason}.`, { field: 'resume_from' })
  }
  if (!existsSync(join(folder, MANIFEST))) refuse('it has no manifest.json, so it was never completed')
  const manifest = JSON.parse(readFileSync(join(folder, MANIFEST), 'utf8')) as Manifest
  const contents: Files = new Map()
  for (const [name, { bytes, sha256: expected }] of Object.entries(manifest.files)) {
    const path = join(folder, basename(name))
    if (!existsSync(path)) refuse(`${name} is missing`)
    const content = readFileSync(path)
    if (content.length !== bytes) refuse(`${name} has ${content.length} bytes, and the manifest says ${bytes}`)
    if (sha256(content) !== expected) refuse(`the contents of ${name} are not those that the manifest names`)
    contents.set(name, content)
  }
  const read = (name: string): Buffer => contents.get(name) ?? refuse(`the manifest does not list ${name}`)
  const state = JSON.parse(read('trainer_state.json').toString('utf8')) as TrainerState
  for (const part of ['base_model', 'training', 'data'] as const) {
    if (state.fingerprint[part] !== fingerprint[part]) refuse(`it was made with another ${PART_NAMES[part]}`)
  }
  const moments = readSafetensors(read('optimizer.safetensors'))
  const withPrefix = (prefix: string): TensorMap =>
    new Map([...moments].filter(([name]) => name.startsWith(prefix)).map(([name, tensor]) => [name.slice(prefix.length), tensor]))
  return { trained: readTrained(plan, read), mean: withPrefix('mean.'), square: withPrefix('square.'), state }
}

/** What a run depends on. Settings that change only what is told or kept (logging, evaluation, saving) are not part of it. */
export function fingerprintOf(plan: TrainingPlan, model: Model, dataHashes: readonly string[], totalSteps: number): Fingerprint {
  const { logging_steps: _, eval_steps: __, beta, loss_type, label_smoothing, ...common } = plan.hyperparameters
  // Only where they act, so that checkpoints made before there was DPO are of the same run still.
  const hyperparameters = plan.trainingType === 'DPO' ? { ...common, beta, loss_type, label_smoothing } : common
  const { sources: ___, ...data } = plan.data
  return {
    base_model: model.hash,
    training: sha256(JSON.stringify({ version: 1, type: plan.trainingType, hyperparameters, totalSteps })),
    data: sha256(JSON.stringify({ data, dataHashes })),
  }
}

const PART_NAMES = { base_model: 'base model', training: 'training_config', data: 'data_config, or the data has changed' }

function sha256(content: Buffer | string): string {
  return createHash('sha256').update(content).digest('hex')
}
