import { join } from 'node:path'
import { effectiveWeights, type Files, modelFiles, trainedFiles } from './artefacts.js'
import type { PreparedData } from './data/prepare.js'
import { writeFolder } from './durable.js'
import type { Fence } from './fence.js'
import { knownHyperparameters } from './hyperparameters.js'
import type { Journal, Score } from './journal.js'
import type { Model } from './model/folder.js'
import type { TrainingPlan } from './plan.js'
import { spell } from './progress.js'
import type { TensorMap } from './safetensors.js'

/** What a model card says about a run. */
export interface RunSummary {
  steps: number
  epochs: number
  finalLoss: number
  /** Base and tuned model on the validation split, and what the objective tells of the tuned one there; null without one. */
  evaluation: { base: Score; tuned: Score; metrics: Record<string, number> } | null
}

/** Writes `output/` (and, for `merge_adapter`, `output/merged/`), each whole or not at all, and tells each as an artefact. */
export function exportOutput(directory: string, { plan, model, trained, data, summary, journal, fence }: ExportInput): void {
  const card = Buffer.from(modelCard(plan, model, data, summary))
  const output: Files = new Map([...trainedFiles(plan, model, trained), ['README.md', card]])
  const write = (path: string, kind: 'adapter' | 'model', files: Files) => {
    const bytes = writeFolder(join(directory, path), files, () => fence.check())
    journal.event({ type: 'artefact', kind, path, files: [...files.keys()], bytes })
    journal.log(`saved ${kind} in ${path} (${bytes} bytes)`)
  }
  write('output', plan.trainsAdapter ? 'adapter' : 'model', output)
  if (plan.output.mergeAdapter) {
    write('output/merged', 'model', new Map([...modelFiles(model, effectiveWeights(plan, model, trained)), ['README.md', card]]))
  }
}

interface ExportInput {
  plan: TrainingPlan
  model: Model
  trained: TensorMap
  data: PreparedData
  summary: RunSummary
  journal: Journal
  fence: Fence
}

function modelCard(plan: TrainingPlan, model: Model, data: PreparedData, { steps, epochs, finalLoss, evaluation }: RunSummary): string {
  const sources = data.sources.map((source) => `- ${source.records} records, ${source.bytes} bytes, sha256 \`${source.sha256}\``)
  const inForce = knownHyperparameters(plan.trainingType).filter((name) => plan.trainsAdapter || !name.startsWith('lora_'))
  const hyperparameters = Object.fromEntries(inForce.map((name) => [name, plan.hyperparameters[name]]))
  const scores = evaluation && [
    `| on the validation split${plan.trainingType === 'DPO' ? "'s chosen answers" : ''} | loss (nats a token) | perplexity |`,
    '| --- | --- | --- |',
    `| base | ${evaluation.base.loss.toFixed(4)} | ${evaluation.base.perplexity.toFixed(3)} |`,
    `| tuned | ${evaluation.tuned.loss.toFixed(4)} | ${evaluation.tuned.perplexity.toFixed(3)} |`,
    ...(Object.keys(evaluation.metrics).length > 0 ? ['', `On the validation split after training:${spell(evaluation.metrics)}.`] : []),
  ]
  return `${[
    `# ${plan.name.replaceAll(/[\r\n]+/g, ' ') || plan.jobId}`,
    '',
    `Made by ScaiMind's embedded trainer: ${plan.trainingType} on ${plan.model.id} (sha256 \`${model.hash}\`), job ${plan.jobId}, attempt ${plan.attempt}.`,
    `${steps} steps, ${epochs} epochs, last training loss ${finalLoss.toFixed(4)}.`,
    '',
    ...(scores ?? ['No validation split was asked for, so nothing is known about data that it was not trained on.']),
    '',
    '## Data',
    '',
    ...sources,
    '',
    '## Settings',
    '',
    '```json',
    JSON.stringify({ hyperparameters, data: { ...plan.data, sources: undefined }, row_length: data.rowLength }, null, 2),
    '```',
  ].join('\n')}\n`
}
