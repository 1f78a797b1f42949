import { jit, numpy as np, type Tensor, type Tensors, tree, valueAndGrad } from './backend.js'
import type { PairRows, Rows } from './data/batches.js'
import type { ModelConfig } from './model/config.js'
import { attentionBias, crossEntropies } from './model/forward.js'
import { answerLogProbabilities, type BatchTensors, type Objective, type Outcome, type PairTensors } from './objective.js'

/** An outcome as numbers. */
export interface Measured {
  loss: number
  nats: number
  metrics: Record<string, number>
}

/** The compiled computations of one model on rows of one shape. */
export interface LossFunctions {
  /** The outcome of some rows and the gradients of their loss by the trained tensors. Leaves `trained` as it is; the caller owns the gradients. */
  measureWithGradients(trained: Tensors, rows: Rows): { measured: Measured; gradients: Tensors }
  /** The outcome alone. */
  measure(trained: Tensors, rows: Rows): Measured
  /** The log-probability of what counts in each row, in nats: [rows]. */
  logProbabilities(trained: Tensors, rows: Rows): Float32Array
  /** The sum of two sets of gradients; takes both. */
  addGradients(first: Tensors, second: Tensors): Tensors
  dispose(): void
}

/**
 * Losses of a model whose `frozen` weights stay as they are: with `frozen` null every weight is trained, else the trained tensors are
 * adapters on top of it. Takes `frozen`.
 */
export function lossFunctions(
  config: ModelConfig,
  objective: Objective,
  { frozen, adapterScale }: { frozen: Tensors | null; adapterScale: number },
  length: number,
): LossFunctions {
  const bias = attentionBias(config, length)
  const lossesOf = (trained: Tensors, { tokens, targets, segments, bias, frozen: base }: Given): Tensor => {
    const weights = frozen ? { base, adapters: trained, adapterScale } : { base: trained, adapters: {}, adapterScale }
    return crossEntropies(config, weights, tokens, targets, segments, bias)
  }
  const outcomeOf = (trained: Tensors, given: Given): Outcome => objective(lossesOf(trained, given), given.batch)
  const withGradients = jit((trained: Tensors, given: Given) => {
    const lossAndRest = (changed: Tensors): [Tensor, Omit<Outcome, 'loss'>] => {
      const { loss, ...rest } = outcomeOf(changed, given)
      return [loss, rest]
    }
    const [[loss, rest], gradients] = valueAndGrad(lossAndRest, { hasAux: true })(trained)
    return { outcome: { loss, ...rest }, gradients }
  })
  const alone = jit(outcomeOf)
  const answers = jit((trained: Tensors, given: Given) => answerLogProbabilities(lossesOf(trained, given), given.batch.targetWeights))
  const add = jit((first: Tensors, second: Tensors) =>
    Object.fromEntries(Object.entries(first).map(([name, tensor]) => [name, tensor.add(second[name] as Tensor)])),
  )
  const give = ({ count, length: rowLength, tokens, targets, targetWeights, segments, pairs }: Rows): Given => {
    const shape = [count, rowLength]
    const weights = { targetWeights: np.array(targetWeights).reshape(shape) }
    return {
      frozen: tree.ref(frozen ?? {}),
      tokens: np.array(tokens).reshape(shape),
      targets: np.array(targets).reshape(shape),
      segments: np.array(segments).reshape(shape),
      bias: bias.ref,
      batch: pairs ? { ...weights, pairs: toPairTensors(pairs) } : weights,
    }
  }
  return {
    measureWithGradients(trained, rows) {
      const { outcome, gradients } = withGradients(tree.ref(trained), give(rows))
      return { measured: toNumbers(outcome), gradients }
    },
    measure: (trained, rows) => toNumbers(alone(tree.ref(trained), give(rows))),
    logProbabilities: (trained, { pairs: _, ...rows }) => Float32Array.from(answers(tree.ref(trained), give(rows)).dataSync()),
    addGradients: add,
    dispose: () => {
      tree.dispose(frozen)
      bias.dispose()
      withGradients.dispose()
      alone.dispose()
      answers.dispose()
      add.dispose()
    },
  }
}

type Given = { frozen: Tensors; tokens: Tensor; targets: Tensor; segments: Tensor; bias: Tensor; batch: BatchTensors }

/** Adds up what the batches of a step or of an evaluation come to. */
export function addMeasured(first: Measured, second: Measured): Measured {
  const names = Object.keys({ ...first.metrics, ...second.metrics })
  return {
    loss: first.loss + second.loss,
    nats: first.nats + second.nats,
    metrics: Object.fromEntries(names.map((name) => [name, (first.metrics[name] ?? 0) + (second.metrics[name] ?? 0)])),
  }
}

/** What no batch comes to. */
export const NOTHING: Measured = { loss: 0, nats: 0, metrics: {} }

function toPairTensors({ reference, lengths, weights, targetWeight }: PairRows): PairTensors {
  return { reference: np.array(reference), lengths: np.array(lengths), weights: np.array(weights), targetWeight: np.array(targetWeight) }
}

function toNumbers({ loss, nats, metrics }: Outcome): Measured {
  return {
    loss: loss.item(),
    nats: nats.item(),
    metrics: Object.fromEntries(Object.entries(metrics).map(([name, tensor]) => [name, tensor.item()])),
  }
}
