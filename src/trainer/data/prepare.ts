import type { TrainingPlan } from '../plan.js'
import { TrainerFailure } from '../problems.js'
import type { Example } from './batches.js'
import { type EncodingSettings, encodeRecords, rowLength, splitRecords } from './examples.js'
import { type LoadedData, loadData } from './load.js'
import type { TrainingRecord } from './records.js'

/** A job's data, ready to be batched. */
export interface PreparedData {
  training: Example[]
  validation: Example[]
  /** Positions of every row. */
  rowLength: number
  /** Held-out records, of which prompts for samples are taken. */
  heldOut: TrainingRecord[]
  sources: LoadedData['sources']
  /** What the log should say about records that did not fit. */
  remarks: string[]
}

/** Splits and encodes a job's data, read where it is not given. Throws a TrainerFailure of class DATA where there is nothing to train on. */
export function prepareData(plan: TrainingPlan, contextLength: number, loaded: LoadedData = loadData(plan.data)): PreparedData {
  const { data, trainingType, hyperparameters } = plan
  const [problem] = loaded.problems
  if (problem) throw new TrainerFailure('DATA', problem.message, { field: problem.path })
  const maxSeqLength = data.maxSeqLength || contextLength
  const settings: EncodingSettings = {
    maxSeqLength,
    packAll: trainingType === 'CONTINUED_PRETRAIN',
    packing: hyperparameters.packing,
    trainOnPrompt: hyperparameters.train_on_prompt,
    addBos: data.addBos,
    addEos: data.addEos,
  }
  const parts = splitRecords(loaded.records, data.validationSplit, data.seed)
  const training = encodeRecords(parts.training, settings)
  const validation = encodeRecords(parts.validation, settings)
  const truncated = training.truncated + validation.truncated
  const dropped = training.dropped + validation.dropped
  if (training.examples.length === 0) {
    const message =
      dropped > 0
        ? `No record has anything to learn within max_seq_length ${maxSeqLength}: all prompts are longer.`
        : `validation_split ${data.validationSplit} of ${loaded.records.length} records leaves none to train on.`
    throw new TrainerFailure('DATA', message, { field: dropped > 0 ? 'data_config.max_seq_length' : 'data_config.validation_split' })
  }
  return {
    training: training.examples,
    validation: validation.examples,
    rowLength: rowLength([...training.examples, ...validation.examples], maxSeqLength),
    heldOut: parts.validation,
    sources: loaded.sources,
    remarks: [
      ...(truncated > 0
        ? [`${truncated} of ${loaded.records.length} records are longer than max_seq_length ${maxSeqLength} and were cut`]
        : []),
      ...(dropped > 0 ? [`${dropped} records were left out: nothing of what is to be learned fits`] : []),
    ],
  }
}
