import type { TrainingPlan } from '../plan.js'
import { type Problem, TrainerFailure } from '../problems.js'
import { type Batches, type BatchPlan, type Layout, layBatches, planBatches, ROW_LAYOUT } from './batches.js'
import { type Encoded, type EncodingSettings, encodeRecords, rowLength, splitRecords } from './examples.js'
import { type LoadedData, loadData } from './load.js'
import { PAIR_RECORDS, type PairRecord } from './pair-record.js'
import { encodePairs, PAIR_LAYOUT, type PairExample } from './pairs.js'
import { type RecordKind, TEXT_RECORDS, type TrainingRecord } from './record.js'

/** A job's data as it was read. */
export interface JobData {
  sources: LoadedData<unknown>['sources']
  problems: Problem[]
  /** Splits and encodes it for a model that reads `contextLength` tokens. Throws a TrainerFailure of class DATA where there is nothing to train on. */
  prepare(contextLength: number): PreparedData
}

/** A job's data, in batches. */
export interface PreparedData {
  training: BatchPlan
  /** How many examples there are to train on and how many are held out. */
  counts: { training: number; validation: number }
  /** The validation split in batches. */
  validation(): Batches
  /** Where pairs are learned, all of both: their `reference` is to be measured before any of them is laid out. */
  pairs: readonly PairExample[]
  /** Positions of every row. */
  rowLength: number
  /** Held-out records, of which prompts for samples are taken. */
  heldOut: (TrainingRecord | PairRecord)[]
  sources: JobData['sources']
  /** What the log should say about records that did not fit. */
  remarks: string[]
}

/** Reads a job's data. */
export function openData(plan: TrainingPlan): JobData {
  return plan.trainingType === 'DPO'
    ? readKind(plan, { records: PAIR_RECORDS, encode: encodePairs, layout: PAIR_LAYOUT, pairsOf: (examples) => examples })
    : readKind(plan, { records: TEXT_RECORDS, encode: encodeRecords, layout: ROW_LAYOUT, pairsOf: () => [] })
}

/** What a training type makes of data: its records, and how they become rows. */
interface DataKind<R, E> {
  records: RecordKind<R>
  encode(records: readonly R[], settings: EncodingSettings): Encoded<E>
  layout: Layout<E>
  pairsOf(examples: readonly E[]): readonly PairExample[]
}

function readKind<R extends TrainingRecord | PairRecord, E>(plan: TrainingPlan, kind: DataKind<R, E>): JobData {
  const loaded = loadData(plan.data, kind.records)
  const { sources, problems } = loaded
  return { sources, problems, prepare: (contextLength) => prepareData(plan, kind, loaded, contextLength) }
}

function prepareData<R extends TrainingRecord | PairRecord, E>(
  { data, trainingType, hyperparameters }: TrainingPlan,
  { encode, layout, pairsOf }: DataKind<R, E>,
  { records, sources, problems }: LoadedData<R>,
  contextLength: number,
): PreparedData {
  const [problem] = problems
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
  const parts = splitRecords(records, data.validationSplit, data.seed)
  const training = encode(parts.training, settings)
  const validation = encode(parts.validation, settings)
  const truncated = training.truncated + validation.truncated
  const dropped = training.dropped + validation.dropped
  if (training.examples.length === 0) {
    const message =
      dropped > 0
        ? `No record has anything to learn within max_seq_length ${maxSeqLength}: all prompts are longer.`
        : `validation_split ${data.validationSplit} of ${records.length} records leaves none to train on.`
    throw new TrainerFailure('DATA', message, { field: dropped > 0 ? 'data_config.max_seq_length' : 'data_config.validation_split' })
  }
  const examples = [...training.examples, ...validation.examples]
  const longest = examples.reduce((max, example) => Math.max(max, layout.lengthOf(example)), 1)
  const batching = { ...data, length: rowLength(longest, maxSeqLength) }
  return {
    training: planBatches(training.examples, batching, layout),
    counts: { training: training.examples.length, validation: validation.examples.length },
    validation: () => layBatches(validation.examples, batching, layout),
    pairs: pairsOf(examples),
    rowLength: batching.length,
    heldOut: parts.validation,
    sources,
    remarks: [
      ...(truncated > 0 ? [`${truncated} of ${records.length} records are longer than max_seq_length ${maxSeqLength} and were cut`] : []),
      ...(dropped > 0 ? [`${dropped} records were left out: nothing of what is to be learned fits`] : []),
    ],
  }
}
