import { type Tensors, tree } from './backend.js'
import type { Snapshot } from './checkpoint.js'
import type { Rows } from './data/batches.js'
import { addMeasured, lossFunctions, type Measured, NOTHING } from './gradients.js'
import { adapterScale, initialAdapters } from './model/adapters.js'
import type { Model } from './model/folder.js'
import { fromTensors, toTensors } from './model/tensors.js'
import { likelihood, preference } from './objective.js'
import { adamW, freshState, type OptimizerState } from './optimizer.js'
import type { TrainingPlan } from './plan.js'
import type { TensorMap } from './safetensors.js'

/** A model in training: what is in jax-js's memory, and the few things that are done with it. */
export interface Session {
  /** One optimizer step over micro-batches: what they come to together before it, and the norm of the gradients before clipping. */
  step(batches: readonly Rows[], step: number, learningRate: number): Measured & { gradNorm: number }
  /** What batches come to together. Lets others run between batches; `goOn` false ends it early with null. */
  evaluate(batches: readonly Rows[], between: () => Promise<boolean>): Promise<Measured | null>
  /** The log-probability, in nats, of what counts in each row, under the model as it is. */
  logProbabilities(rows: Rows): Float32Array
  /** Copies out what is trained. */
  trained(): TensorMap
  /** Copies out everything that a checkpoint holds. */
  snapshot(): Omit<Snapshot, 'state'>
  /** Goes on from a checkpoint's numbers. */
  restore(snapshot: Omit<Snapshot, 'state'>): void
}

/** Puts a model into memory as a job starts it: fresh adapters on frozen weights, or all weights to be trained. */
export function openSession(plan: TrainingPlan, model: Model, rowLength: number): Session {
  const { hyperparameters, data, trainsAdapter } = plan
  const start = trainsAdapter ? initialAdapters(model.config, hyperparameters, data.seed) : model.weights
  const base = trainsAdapter
    ? { frozen: toTensors(model.weights), adapterScale: adapterScale(hyperparameters) }
    : { frozen: null, adapterScale: 1 }
  const objective = plan.trainingType === 'DPO' ? preference(hyperparameters) : likelihood
  const functions = lossFunctions(model.config, objective, base, rowLength)
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
      let total = NOTHING
      let gradients: Tensors | undefined
      for (const rows of batches) {
        const result = functions.measureWithGradients(state.parameters, rows)
        total = addMeasured(total, result.measured)
        gradients = gradients ? functions.addGradients(gradients, result.gradients) : result.gradients
      }
      if (!gradients) throw new Error(`step ${step} has no rows`)
      const next = update(state, gradients, step, learningRate)
      state = next.state
      return { ...total, gradNorm: next.norm.item() }
    },
    async evaluate(batches, between) {
      let total = NOTHING
      for (const rows of batches) {
        if (!(await between())) return null
        total = addMeasured(total, functions.measure(state.parameters, rows))
      }
      return total
    },
    logProbabilities: (rows) => functions.logProbabilities(state.parameters, rows),
    trained: () => fromTensors(state.parameters),
    snapshot: () => ({ trained: fromTensors(state.parameters), mean: fromTensors(state.mean), square: fromTensors(state.square) }),
    restore(snapshot) {
      tree.dispose(state)
      state = { parameters: toTensors(snapshot.trained), mean: toTensors(snapshot.mean), square: toTensors(snapshot.square) }
    },
  }
}
