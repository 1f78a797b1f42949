/** The names of transformers' schedules that the trainer knows. */
export const SCHEDULES = ['linear', 'cosine', 'constant', 'constant_with_warmup'] as const

export type ScheduleName = (typeof SCHEDULES)[number]

/** How many optimizer steps a run has: `max_steps`, or what its epochs take. */
export function totalStepsOf(given: { max_steps: number; num_train_epochs: number }, stepsPerEpoch: number): number {
  return given.max_steps || Math.max(1, Math.ceil(given.num_train_epochs * stepsPerEpoch))
}

/**
 * The learning rate of optimizer step `step` (1 is the first), as transformers computes it: `constant` has no warmup; the others
 * rise from 0 over `warmupSteps`, then stay, fall in a line, or follow half a cosine, to 0 after `totalSteps`.
 */
export function learningRateAt(
  step: number,
  schedule: { name: ScheduleName; peak: number; warmupSteps: number; totalSteps: number },
): number {
  const { name, peak, warmupSteps, totalSteps } = schedule
  if (name === 'constant') return peak
  const done = step - 1
  if (done < warmupSteps) return (peak * done) / Math.max(1, warmupSteps)
  if (name === 'constant_with_warmup') return peak
  const progress = (done - warmupSteps) / Math.max(1, totalSteps - warmupSteps)
  return peak * Math.max(0, name === 'linear' ? 1 - progress : 0.5 * (1 + Math.cos(Math.PI * progress)))
}
