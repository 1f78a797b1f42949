import { numpy as np, type Tensor, type Tensors } from './backend.js'
import type { Hyperparameters } from './hyperparameters.js'

/** What is known of a batch beside its tokens, as `Rows` has it. */
export type BatchTensors = { targetWeights: Tensor; pairs?: PairTensors }

/** What is known of rows that are pairs. */
export type PairTensors = { reference: Tensor; lengths: Tensor; weights: Tensor; targetWeight: Tensor }

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

/**
 * Direct preference optimisation: chosen answers are to become likelier than rejected ones, by comparison with the model before training
 * (Rafailov et al., 2023). Losses as in trl: `sigmoid`; `robust`, where a share `label_smoothing` of the preferences is taken to be the wrong
 * way round; `ipo`, a squared distance of the difference a token from 1 / 2 beta. Rewards are beta times how much likelier answers became.
 */
export function preference({
  beta,
  loss_type,
  label_smoothing,
}: Pick<Hyperparameters, 'beta' | 'loss_type' | 'label_smoothing'>): Objective {
  const lossOf = (margin: Tensor): Tensor => {
    if (loss_type === 'ipo') return np.square(margin.sub(1 / (2 * beta)))
    const scaled = margin.mul(beta)
    if (loss_type === 'sigmoid') return surprise(scaled)
    const flipped = surprise(scaled.ref.mul(-1)).mul(label_smoothing)
    return surprise(scaled)
      .mul(1 - label_smoothing)
      .sub(flipped)
      .div(1 - 2 * label_smoothing)
  }
  return (crossEntropies, { targetWeights, pairs }) => {
    if (!pairs) throw new Error('the rows are not pairs')
    const answers = answerLogProbabilities(crossEntropies, targetWeights)
    const [chosenAnswers, rejectedAnswers] = halves(answers.ref)
    rejectedAnswers.dispose()
    const ratios = answers.sub(pairs.reference)
    const [chosen, rejected] = halves(ratios.ref).map((ratio) => ratio.mul(pairs.weights.ref).sum().mul(beta)) as [Tensor, Tensor]
    const [better, worse] = halves(loss_type === 'ipo' ? ratios.div(pairs.lengths.ref) : ratios)
    pairs.lengths.dispose()
    return {
      loss: lossOf(better.sub(worse)).mul(pairs.weights).sum(),
      nats: chosenAnswers.sum().mul(-1).mul(pairs.targetWeight),
      metrics: { rewards_chosen: chosen.ref, rewards_rejected: rejected.ref, rewards_margin: chosen.sub(rejected) },
    }
  }
}

/** The log-probability of the targets that count in each row, weighted: [rows]. Takes both. */
export function answerLogProbabilities(crossEntropies: Tensor, targetWeights: Tensor): Tensor {
  return crossEntropies.mul(targetWeights).sum(-1).mul(-1)
}

/** -log σ(x), which neither overflows nor loses its gradient at 0. */
function surprise(x: Tensor): Tensor {
  return np.logaddexp(x.mul(-1), np.array(0))
}

function halves(rows: Tensor): [Tensor, Tensor] {
  const half = (rows.shape[0] ?? 0) / 2
  return [rows.ref.slice([0, half]), rows.slice([half, 2 * half])]
}
