import { type Tensors, tree } from './backend.js'
import type { Snapshot } from './checkpoint.js'
import { type Example, layRows, type Rows, targetCount } from './data/batches.js'
import { lossFunctions } from './gradients.js'
import { adapterScale, initialAdapters } from './model/adapters.js'
import type { Model } from './model/folder.js'
import { fromTensors, toTensors } from './model/tensors.js'
import { adamW, freshState, type OptimizerState } from './optimizer.js'
import type { TrainingPlan } from './plan.js'
import type { TensorMap } from './safetensors.js'

/** A model in training: what is in jax-js's memory, and the few things that are done with it. */
export interface Session {
  /** One optimizer step over micro-batches; the loss is their weighted sum, the norm that of the gradients before clipping. */
  step(batches: readonly Rows[], step: number, learningRate: number): { loss: number; gradNorm: number }
  /** Mean loss over examples, in nats a target. Lets others run between batches; `goOn` false ends it early with null. */
  evaluate(examples: readonly Example[], between: () => Promise<boolean>): Promise<{ loss: number; tokens: number } | null>
  /** Copies out what is trained. */
  trained(): TensorMap
  /** Copies out everything that a checkpoint holds. */
  snapshot(): Omit<Snapshot, 'state'>
  /** Goes on from a checkpoint's numbers. */
  restore(snapshot: Omit<Snapshot, 'state'>): void
}

/** Puts a model into memory as a job starts it: fresh adapters on frozen weights for LORA, all weights trained otherwise. */
export function openSession(plan: TrainingPlan, model: Model, rowLength: number): Session {
  const { hyperparameters, data } = plan
  const isLora = plan.trainingType === 'LORA'
  const start = isLora ? initialAdapters(model.config, hyperparameters, data.seed) : model.weights
  const functions = lossFunctions(
    model.config,
    isLora ? toTensors(model.weights) : null,
    isLora ? adapterScale(hyperparameters) : 1,
    rowLength,
  )
  const update = adamW({
    beta1: hyperparameters.adam_beta1,
    beta2: hyperparameters.adam_beta2,
    epsilon: hyperparameters.adam_epsilon,
    weightDecay: hyperparameters.weight_decay,
    maxGradNorm: hyperparameters.max_grad_norm,
  })
  let state: OptimizerState = freshState(toTensors(start))
  return {
    step(batches, step, learningRate) {
      let loss = 0
      let gradients: Tensors | undefined
      for (const rows of batches) {
        const result = functions.lossAndGradients(state.parameters, rows)
        loss += result.loss.item()
        gradients = gradients ? functions.addGradients(gradients, result.gradients) : result.gradients
      }
      if (!gradients) throw new Error(`step ${step} has no rows`)
      const next = update(state, gradients, step, learningRate)
      state = next.state
      return { loss, gradNorm: next.norm.item() }
    },
    async evaluate(examples, between) {
      const tokens = examples.reduce((sum, example) => sum + targetCount(example), 0)
      let loss = 0
      for (let at = 0; at < examples.length; at += data.batchSize) {
        if (!(await between())) return null
        loss += functions.loss(state.parameters, layRows(examples.slice(at, at + data.batchSize), data.batchSize, rowLength, tokens))
      }
      return { loss, tokens }
    },
    trained: () => fromTensors(state.parameters),
    snapshot: () => ({ trained: fromTensors(state.parameters), mean: fromTensors(state.mean), square: fromTensors(state.square) }),
    restore(snapshot) {
      tree.dispose(state)
      state = { parameters: toTensors(snapshot.trained), mean: toTensors(snapshot.mean), square: toTensors(snapshot.square) }
    },
  }
}
