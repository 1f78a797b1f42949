import type { Journal } from './journal.js'
import type { TrainingPlan } from './plan.js'

/** At most this often, in milliseconds, a `progress` event is written. */
const PROGRESS_INTERVAL_MS = 400
/** The time left is told from the mean of this many steps. */
const STEPS_AVERAGED = 20

/** What one optimizer step did. */
export interface StepResult {
  step: number
  epoch: number
  /** `loss`, and what else the objective tells. */
  metrics: { loss: number } & Record<string, number>
  learningRate: number
  gradNorm: number
  /** Tokens read, padding not counted. */
  tokens: number
  samples: number
  seconds: number
  /** Since the run began, over all attempts. */
  tokensSeen: number
}

/** Tells the steps of an attempt: a line of metrics each, progress a few times a second, a line of the log every `logging_steps`. */
export function stepReporter(journal: Journal, plan: TrainingPlan, totals: { steps: number; epochs: number }) {
  const durations: number[] = []
  let told = 0
  return (result: StepResult): void => {
    const { step, epoch, metrics, learningRate, gradNorm, tokens, samples, seconds, tokensSeen } = result
    durations.push(seconds)
    if (durations.length > STEPS_AVERAGED) durations.shift()
    const secondsAStep = durations.reduce((sum, duration) => sum + duration, 0) / durations.length
    journal.metrics(step, epoch, {
      ...metrics,
      learning_rate: learningRate,
      grad_norm: gradNorm,
      tokens_per_second: round(tokens / seconds, 1),
      samples_per_second: round(samples / seconds, 2),
      epoch,
    })
    const etaSeconds = Math.round(secondsAStep * (totals.steps - step))
    if (performance.now() - told >= PROGRESS_INTERVAL_MS || step === totals.steps) {
      told = performance.now()
      journal.event({
        type: 'progress',
        step,
        total_steps: totals.steps,
        epoch,
        total_epochs: totals.epochs,
        // The first step compiles; an estimate from it alone would mislead.
        eta_seconds: durations.length > 1 ? etaSeconds : null,
        tokens_seen: tokensSeen,
      })
    }
    if (step % plan.hyperparameters.logging_steps === 0 || step === totals.steps) {
      journal.log(
        `step ${step}/${totals.steps} epoch ${epoch}${spell(metrics)} learning_rate ${learningRate.toExponential(3)} ` +
          `grad_norm ${gradNorm.toFixed(3)} ${Math.round(tokens / seconds)} tokens/s, ${etaSeconds} s left`,
      )
    }
  }
}

/** Metrics as words of a line of the log, each with a space before it. */
export function spell(metrics: Record<string, number>): string {
  return Object.entries(metrics)
    .map(([name, value]) => ` ${name} ${value.toFixed(4)}`)
    .join('')
}

/** `value` with at most `digits` decimals. */
export function round(value: number, digits: number): number {
  return Math.round(value * 10 ** digits) / 10 ** digits
}
