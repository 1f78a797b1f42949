import type { Tensor, Tensors } from './backend.js'

/** What is known of a batch beside its tokens, as tensors; which there are depends on the objective. */
export type BatchTensors = { targetWeights: Tensor }

/** What a batch comes to. All are sums over it, weighted so that those of a step's batches add up to the step's means. */
export type Outcome = {
  /** What is minimised. */
  loss: Tensor
  /** Nats a target, by which models are compared after training. */
  nats: Tensor
  /** What else is told, by the name of its metric. */
  metrics: Tensors
}

/** What training minimises, from the cross-entropies [rows, length] of a batch. Takes both. */
export type Objective = (crossEntropies: Tensor, batch: BatchTensors) => Outcome

/** The mean cross-entropy of the targets. */
export const likelihood: Objective = (crossEntropies, { targetWeights }) => {
  const loss = crossEntropies.mul(targetWeights).sum()
  return { loss, nats: loss.ref, metrics: {} }
}
