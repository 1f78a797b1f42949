import { jit, numpy as np, type Tensor, type Tensors, tree } from './backend.js'

/** AdamW's numbers, in transformers' names and meanings. */
export interface AdamSettings {
  beta1: number
  beta2: number
  epsilon: number
  /** Decoupled; matrices only, norms are left alone. */
  weightDecay: number
  /** Gradients are scaled down to this norm; 0 leaves them as they are. */
  maxGradNorm: number
}

/** What an optimizer step starts from and leaves behind. */
export type OptimizerState = {
  parameters: Tensors
  /** Running mean of the gradients. */
  mean: Tensors
  /** Running mean of their squares. */
  square: Tensors
}

/** A state before the first step: the moments are zero. Takes `parameters`. */
export function freshState(parameters: Tensors): OptimizerState {
  const zeros = () => Object.fromEntries(Object.entries(parameters).map(([name, { shape }]) => [name, np.zeros(shape)]))
  return { parameters, mean: zeros(), square: zeros() }
}

/**
 * One compiled AdamW step: takes a state and gradients, gives the next state and the gradients' norm before clipping.
 * `step` counts from 1.
 */
export function adamW({ beta1, beta2, epsilon, weightDecay, maxGradNorm }: AdamSettings) {
  const update = jit((state: OptimizerState, gradients: Tensors, scalars: AdamScalars): { state: OptimizerState; norm: Tensor } => {
    const squares = Object.values(gradients).map((gradient) => np.square(gradient.ref).sum())
    const norm = np.sqrt(squares.reduce((sum, square) => sum.add(square)))
    const scale = maxGradNorm > 0 ? np.minimum(np.array(maxGradNorm).div(norm.ref.add(1e-6)), 1) : np.array(1)
    const next: OptimizerState = { parameters: {}, mean: {}, square: {} }
    for (const [name, parameter] of Object.entries(state.parameters)) {
      const gradient = entry(gradients, name).mul(scale.ref)
      const mean = entry(state.mean, name)
        .mul(beta1)
        .add(gradient.ref.mul(1 - beta1))
      const square = entry(state.square, name)
        .mul(beta2)
        .add(np.square(gradient).mul(1 - beta2))
      let change = mean.ref.mul(scalars.meanScale.ref).div(np.sqrt(square.ref.mul(scalars.squareScale.ref)).add(epsilon))
      if (weightDecay > 0 && parameter.shape.length > 1) change = change.add(parameter.ref.mul(weightDecay))
      next.parameters[name] = parameter.sub(change.mul(scalars.rate.ref))
      next.mean[name] = mean
      next.square[name] = square
    }
    scale.dispose()
    tree.dispose(scalars)
    return { state: next, norm }
  })
  return (state: OptimizerState, gradients: Tensors, step: number, learningRate: number): { state: OptimizerState; norm: Tensor } =>
    update(state, gradients, {
      rate: np.array(learningRate),
      meanScale: np.array(1 / (1 - beta1 ** step)),
      squareScale: np.array(1 / (1 - beta2 ** step)),
    })
}

type AdamScalars = { rate: Tensor; meanScale: Tensor; squareScale: Tensor }

function entry(tensors: Tensors, name: string): Tensor {
  const found = tensors[name]
  if (!found) throw new Error(`no tensor ${name}`)
  return found
}
