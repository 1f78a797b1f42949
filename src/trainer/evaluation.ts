import { effectiveWeights } from './artefacts.js'
import type { PairRecord } from './data/pair-record.js'
import type { TrainingRecord } from './data/record.js'
import type { Score } from './journal.js'
import { generateText } from './model/decode.js'
import type { Model } from './model/folder.js'
import type { TrainingPlan } from './plan.js'
import type { TensorMap } from './safetensors.js'

/** Held-out prompts that both models continue in the final evaluation. */
const SAMPLES = 2
/** Characters of a held-out text that serve as its prompt. */
const TEXT_PROMPT_CHARACTERS = 40

/** A mean loss as a score. */
export function scoreOf(loss: number): Score {
  return { loss, perplexity: Math.exp(loss) }
}

/** The same held-out prompts continued by the base and by the tuned model, with the same seed. */
export function sampleTexts(
  plan: TrainingPlan,
  model: Model,
  trained: TensorMap,
  heldOut: readonly (TrainingRecord | PairRecord)[],
): { prompt: string; base: string; tuned: string }[] {
  const tunedModel = { config: model.config, weights: effectiveWeights(plan, model, trained) }
  return heldOut.slice(0, SAMPLES).map((record, index) => {
    const prompt = record.kind === 'text' ? record.text.slice(0, TEXT_PROMPT_CHARACTERS) : record.prompt
    const settings = { seed: plan.data.seed + index }
    return {
      prompt: prompt.trim(),
      base: generateText(model, prompt, settings).trim(),
      tuned: generateText(tunedModel, prompt, settings).trim(),
    }
  })
}
