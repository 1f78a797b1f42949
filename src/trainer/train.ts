import { fingerprintOf, loadCheckpoint, type Snapshot } from './checkpoint.js'
import { checkpointKeeper, type Position } from './checkpoints.js'
import { measureReference } from './data/pairs.js'
import { openData } from './data/prepare.js'
import { sampleTexts, scoreOf } from './evaluation.js'
import { exportOutput, type RunSummary } from './export.js'
import type { Fence } from './fence.js'
import type { Journal } from './journal.js'
import type { Model } from './model/folder.js'
import type { TrainingPlan } from './plan.js'
import { TrainerFailure } from './problems.js'
import { round, spell, stepReporter } from './progress.js'
import { learningRateAt, totalStepsOf } from './schedule.js'
import { openSession } from './session.js'
import { breathe, type Requests, Stopped } from './signals.js'

/** What a run is given. */
export interface RunInput {
  /** The attempt's folder; nothing is written elsewhere. */
  directory: string
  plan: TrainingPlan
  model: Model
  journal: Journal
  fence: Fence
  requests: Requests
}

/**
 * Runs an attempt from its data to its output. Throws Stopped once a requested stop is done, TrainerFailure for what can be expected to
 * go wrong. The phases of the journal follow the steps of this function.
 */
export async function train({ directory, plan, model, journal, fence, requests }: RunInput): Promise<void> {
  const { hyperparameters, output } = plan
  const data = openData(plan).prepare(model.config.max_position_embeddings)
  for (const remark of data.remarks) journal.log(`warning: ${remark}`)
  const { stepsPerEpoch, stepRows } = data.training
  const totalSteps = totalStepsOf(hyperparameters, stepsPerEpoch)
  const schedule = {
    name: hyperparameters.lr_scheduler_type,
    peak: hyperparameters.learning_rate,
    warmupSteps: hyperparameters.warmup_steps || Math.ceil(hyperparameters.warmup_ratio * totalSteps),
    totalSteps,
  }
  const hashes = data.sources.map((source) => source.sha256)
  const fingerprint = fingerprintOf(plan, model, hashes, totalSteps)
  const resumed: Snapshot | null = plan.resumeFrom ? loadCheckpoint(plan.resumeFrom, plan, fingerprint) : null
  journal.log(
    `${data.counts.training} rows of ${data.rowLength} tokens to train on, ${data.counts.validation} held out; ` +
      `${totalSteps} steps, ${stepsPerEpoch} an epoch`,
  )

  const session = openSession(plan, model, data.rowLength)
  const keeper = checkpointKeeper(directory, { plan, model, session, journal, fence, fingerprint })
  const epochAt = (step: number) => round(step / stepsPerEpoch, 4)
  const goOn = async () => {
    await breathe()
    return !requests.stop
  }
  let at: Position = { step: 0, epoch: 0, tokensSeen: 0, metrics: {} }
  const stopHere = (): never => {
    if (requests.saveOnStop && at.step > (resumed?.state.step ?? 0)) keeper.save(at)
    journal.log(`stopped on request after step ${at.step}`)
    throw new Stopped()
  }

  // Measured before anything is restored: at this point the model computes what the base does.
  if (data.pairs.length > 0) {
    journal.log(`measuring how likely the base model finds the answers of ${data.pairs.length} pairs`)
    const batching = { batchSize: plan.data.batchSize, length: data.rowLength }
    if (!(await measureReference(data.pairs, batching, session.logProbabilities, goOn))) stopHere()
  }
  const validation = data.validation()
  const evaluate = () => session.evaluate(validation.batches, goOn)
  const base = validation.batches.length > 0 ? ((await evaluate()) ?? stopHere()) : null
  if (base && !Number.isFinite(base.loss)) {
    throw new TrainerFailure('NAN_LOSS', 'The base model gives no finite loss on the validation split.', { first_bad_step: 0 })
  }
  if (base && !resumed) journal.metrics(0, 0, { eval_loss: base.loss })
  if (base) journal.log(`base model: eval_loss ${base.loss.toFixed(4)} perplexity ${Math.exp(base.nats).toFixed(3)}`)
  if (resumed) {
    session.restore(resumed)
    at = { step: resumed.state.step, epoch: resumed.state.epoch, tokensSeen: resumed.state.tokens_seen, metrics: resumed.state.metrics }
    journal.log(`resumed from step ${at.step}`)
  }

  journal.event({ type: 'phase', phase: 'TRAINING' })
  const report = stepReporter(journal, plan, { steps: totalSteps, epochs: epochAt(totalSteps) })
  let tuned: Awaited<ReturnType<typeof evaluate>> = null
  while (at.step < totalSteps) {
    await breathe()
    if (requests.stop) stopHere()
    const step = at.step + 1
    const started = performance.now()
    const rows = stepRows(step)
    const learningRate = learningRateAt(step, schedule)
    const { loss, metrics: others, gradNorm } = session.step(rows.batches, step, learningRate)
    const metrics = { loss, ...others }
    if (!Number.isFinite(loss) || !Number.isFinite(gradNorm)) throw lossFailure(step, loss)
    const seconds = (performance.now() - started) / 1000
    at = { step, epoch: epochAt(step), tokensSeen: at.tokensSeen + rows.tokens, metrics }
    report({ ...at, metrics, learningRate, gradNorm, tokens: rows.tokens, samples: rows.records, seconds })
    const evalDue = hyperparameters.eval_steps > 0 && step % hyperparameters.eval_steps === 0
    if (evalDue && validation.batches.length > 0) {
      tuned = await evaluate()
      if (tuned) {
        at.metrics.eval_loss = tuned.loss
        journal.metrics(step, at.epoch, { eval_loss: tuned.loss })
        journal.log(`step ${step}/${totalSteps} eval_loss ${tuned.loss.toFixed(4)}${spell(tuned.metrics)}`)
      }
    } else tuned = null
    if (requests.takeCheckpoint() || saveIsDue(output, step, stepsPerEpoch, totalSteps)) keeper.save(at)
  }

  let evaluation: RunSummary['evaluation'] = null
  const trained = session.trained()
  if (base) {
    journal.event({ type: 'phase', phase: 'EVALUATING' })
    // The last step's own evaluation, where eval_steps asked for one, is this one.
    const last = tuned ?? (await evaluate()) ?? stopHere()
    if (!tuned) journal.metrics(totalSteps, at.epoch, { eval_loss: last.loss })
    const scores = { base: scoreOf(base.nats), tuned: scoreOf(last.nats) }
    evaluation = { ...scores, metrics: last.metrics }
    const samples = sampleTexts(plan, model, trained, data.heldOut)
    journal.event({ type: 'evaluation', ...scores, tokens: validation.targets, samples })
    if (data.pairs.length > 0) journal.log(`held-out pairs: loss ${last.loss.toFixed(4)}${spell(last.metrics)}`)
    journal.log(
      `held-out perplexity: base ${scores.base.perplexity.toFixed(3)}, tuned ${scores.tuned.perplexity.toFixed(3)} ` +
        `(${((scores.tuned.perplexity / scores.base.perplexity - 1) * 100).toFixed(1)} %)`,
    )
  }
  await breathe()
  if (requests.stop) stopHere()
  journal.event({ type: 'phase', phase: 'EXPORTING' })
  const summary = { steps: totalSteps, epochs: at.epoch, finalLoss: at.metrics.loss ?? Number.NaN, evaluation }
  exportOutput(directory, { plan, model, trained, data, summary, journal, fence })
}

function saveIsDue(output: TrainingPlan['output'], step: number, stepsPerEpoch: number, totalSteps: number): boolean {
  if (output.saveStrategy === 'NONE') return false
  return step === totalSteps || step % (output.saveStrategy === 'EPOCH' ? stepsPerEpoch : output.saveSteps) === 0
}

function lossFailure(step: number, loss: number): TrainerFailure {
  return new TrainerFailure('NAN_LOSS', `The ${Number.isFinite(loss) ? 'gradient' : 'loss'} is not finite at step ${step}.`, {
    first_bad_step: step,
    hint: 'Lower training_config.hyperparameters.learning_rate, or add warmup_steps.',
  })
}
