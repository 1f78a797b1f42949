import { jit, numpy as np, type Tensor, type Tensors, tree, valueAndGrad } from './backend.js'
import type { Rows } from './data/batches.js'
import type { ModelConfig } from './model/config.js'
import { attentionBias, weightedLoss } from './model/forward.js'

/** The compiled computations of one model on rows of one shape. */
export interface LossFunctions {
  /** The weighted loss of some rows and its gradients by the trained tensors. Leaves `trained` as it is; the caller owns both results. */
  lossAndGradients(trained: Tensors, rows: Rows): { loss: Tensor; gradients: Tensors }
  /** The weighted loss alone. */
  loss(trained: Tensors, rows: Rows): number
  /** The sum of two sets of gradients; takes both. */
  addGradients(first: Tensors, second: Tensors): Tensors
  dispose(): void
}

/**
 * Losses of a model whose `frozen` weights stay as they are: with `frozen` null every weight is trained, else the trained tensors are
 * adapters on top of it. Takes `frozen`.
 */
export function lossFunctions(config: ModelConfig, frozen: Tensors | null, adapterScale: number, length: number): LossFunctions {
  const bias = attentionBias(config, length)
  const lossOf = (trained: Tensors, given: Given): Tensor => {
    const weights = frozen ? { base: given.frozen, adapters: trained, adapterScale } : { base: trained, adapters: {}, adapterScale }
    return weightedLoss(config, weights, given.tokens, given.targets, given.targetWeights, given.segments, given.bias)
  }
  const withGradients = jit((trained: Tensors, given: Given) => {
    const [loss, gradients] = valueAndGrad(lossOf)(trained, given)
    return { loss, gradients }
  })
  const alone = jit(lossOf)
  const add = jit((first: Tensors, second: Tensors) =>
    Object.fromEntries(Object.entries(first).map(([name, tensor]) => [name, tensor.add(second[name] as Tensor)])),
  )
  const give = ({ count, length: rowLength, tokens, targets, targetWeights, segments }: Rows): Given => ({
    frozen: tree.ref(frozen ?? {}),
    tokens: np.array(tokens).reshape([count, rowLength]),
    targets: np.array(targets).reshape([count, rowLength]),
    targetWeights: np.array(targetWeights).reshape([count, rowLength]),
    segments: np.array(segments).reshape([count, rowLength]),
    bias: bias.ref,
  })
  return {
    lossAndGradients: (trained, rows) => withGradients(tree.ref(trained), give(rows)),
    loss: (trained, rows) => alone(tree.ref(trained), give(rows)).item(),
    addGradients: add,
    dispose: () => {
      tree.dispose(frozen)
      bias.dispose()
      withGradients.dispose()
      alone.dispose()
      add.dispose()
    },
  }
}

type Given = { frozen: Tensors; tokens: Tensor; targets: Tensor; targetWeights: Tensor; segments: Tensor; bias: Tensor }
