import type { FrameworkType, TrainingType } from '../../../contract/statuses.js'
import { type Field, forAll, forTrainers } from './field.js'
import { anyText, boolean, integer, type Kind, number, oneOf } from './kinds.js'

const model = 'training_config.base_model'
const source = 'data_config.sources[]'
const preprocess = 'data_config.preprocess'
/** RLHF makes its own completions. */
const withRecords: TrainingType[] = ['SFT', 'LORA', 'QLORA', 'DPO', 'CONTINUED_PRETRAIN', 'FULL_FINETUNE']
const supervised = withRecords.filter((type) => type !== 'DPO')

const hfCell = (acts: string, kind?: Kind, types?: TrainingType[]) => ({ acts, ...(kind ? { kind } : {}), ...(types ? { types } : {}) })
const samplingKinds = { weight: number(0, 1e9, { above: true }), max_records: integer(1, 1e12), fraction: number(0, 1, { above: true }) }
const bytesOnly = 'A byte-level model has nothing to set here: leave it out.'
const wholeFile = 'The embedded trainer takes every record of a file as it is: leave it out.'

const ofModel: Field[] = [
  {
    path: `${model}.model_id`,
    cells: {
      embedded: { acts: '`scaimind/byte-tiny`, or a folder with such a model.' },
      hf: { acts: 'A HuggingFace id, or a folder with such a model under the data roots.' },
      custom: { acts: 'In `job.json`, a path followed.' },
      program: { acts: 'In `job.json`, a path followed.' },
    },
    example: ({ trainer }) => (trainer === 'embedded' ? 'scaimind/byte-tiny' : 'org/name'),
  },
  {
    path: `${model}.revision`,
    cells: forTrainers({
      embedded: { refused: bytesOnly },
      hf: hfCell('Branch, tag or commit of a HuggingFace id.'),
    }),
    example: () => 'v1',
  },
  {
    path: `${model}.source`,
    cells: forTrainers({
      embedded: { acts: 'Only `local`, which it is.' },
      hf: hfCell('`huggingface` or `local`; it must fit the id.', oneOf('huggingface', 'local')),
    }),
    example: ({ trainer }) => (trainer === 'embedded' ? 'local' : 'huggingface'),
  },
  {
    path: `${model}.tokenizer_id`,
    cells: forTrainers({
      embedded: { refused: bytesOnly },
      hf: hfCell("Another tokenizer than the model's: a HuggingFace id, or a folder under the data roots."),
    }),
    example: () => 'org/tokenizer',
  },
  {
    path: `${model}.dtype`,
    cells: forTrainers({
      embedded: { acts: 'Only `float32` or `auto`: it computes in float32.' },
      hf: hfCell(
        "What weights are kept in. Default: the model's own, but float32 while HF_TRAINER trains all of them. float16: only with adapters.",
        oneOf('auto', 'float32', 'bfloat16', 'float16'),
      ),
    }),
    example: ({ trainer }) => (trainer === 'embedded' ? 'float32' : 'bfloat16'),
  },
  {
    path: `${model}.trust_remote_code`,
    cells: forTrainers({
      embedded: { refused: bytesOnly },
      hf: hfCell('Runs code that comes with the model. Needs SCAIMIND_ALLOW_TRUST_REMOTE_CODE.'),
    }),
    example: () => true,
  },
  ...(
    [
      [
        'attn_implementation',
        oneOf('eager', 'sdpa', 'flash_attention_2', 'flash_attention_3', 'flex_attention'),
        'sdpa',
        'How attention is computed.',
      ],
      ['use_kernels', boolean, 'true', "Takes kernels from HuggingFace's collection."],
      ['low_cpu_mem_usage', boolean, 'true', 'Loads weights without a second copy in memory.'],
    ] as const
  ).map(
    ([name, kind, example, acts]): Field => ({
      path: `${model}.model_kwargs.${name}`,
      cells: forTrainers({ embedded: { refused: bytesOnly }, hf: { acts, kind } }),
      example: () => example,
    }),
  ),
]

const ofData: Field[] = [
  {
    path: `${source}.path`,
    cells: forAll({ acts: 'A file or folder under the data roots; the id of an uploaded data set, or of one on the hub.' }),
    example: () => '/data/train.jsonl',
  },
  {
    path: `${source}.type`,
    cells: forTrainers({
      embedded: { acts: '`file` or `dataset`.' },
      hf: hfCell('`file`, `dataset` or `huggingface`.', oneOf('file', 'local', 'dataset', 'huggingface')),
    }),
    example: () => 'file',
  },
  {
    path: `${source}.split`,
    cells: forTrainers({
      embedded: { acts: 'Only `train`, which a file is.' },
      hf: hfCell('The split of a data set on the hub, or of a folder.'),
    }),
    example: () => 'train',
    with: ({ trainer }) => (trainer === 'embedded' ? {} : { [`${source}.type`]: 'huggingface', [`${source}.path`]: 'org/data' }),
  },
  {
    path: `${source}.format`,
    cells: forTrainers({
      embedded: { acts: '`jsonl`, `csv` or `txt`.' },
      hf: hfCell('How a file is written.', oneOf('jsonl', 'ndjson', 'json_lines', 'json', 'csv', 'tsv', 'parquet', 'txt', 'text')),
    }),
    example: () => 'jsonl',
  },
  {
    path: `${source}.columns`,
    cells: forTrainers({ embedded: { refused: wholeFile }, hf: hfCell('The only columns that are kept.') }),
    example: () => ['text'],
  },
  {
    path: `${source}.filters.*`,
    cells: forTrainers({
      embedded: { refused: wholeFile },
      hf: hfCell('Which records are used, by column: `value`, `!=v`, `>v`, `>=v`, `<v`, `<=v`, `a|b|c`. All must hold.'),
    }),
    example: () => '>=2',
  },
  ...(
    [
      ['weight', '2', 'Share of this source among the others; all have one, or none.'],
      ['max_records', '100', 'At most so many of its records, drawn by the seed.'],
      ['fraction', '0.5', 'This part of its records, drawn by the seed.'],
    ] as const
  ).map(
    ([name, example, acts]): Field => ({
      path: `${source}.sampling.${name}`,
      cells: forTrainers({ embedded: { refused: wholeFile }, hf: { acts, kind: samplingKinds[name] } }),
      example: () => example,
    }),
  ),
  {
    path: `${preprocess}.tokenizer`,
    cells: forTrainers({ embedded: { refused: bytesOnly }, hf: hfCell('As base_model.tokenizer_id.') }),
    example: () => 'org/tokenizer',
  },
  {
    path: `${preprocess}.add_bos`,
    cells: forTrainers({
      embedded: { acts: 'Whether the beginning of a record is marked.' },
      hf: hfCell("Whether the beginning of a record is marked. Default: the tokenizer's.", undefined, supervised),
    }),
    example: () => true,
  },
  {
    path: `${preprocess}.add_eos`,
    cells: forTrainers({
      embedded: { acts: 'Whether the end of a record is marked.' },
      hf: hfCell("Whether the end of a record is marked. Default: the tokenizer's.", undefined, supervised),
    }),
    example: () => true,
  },
  {
    path: `${preprocess}.padding`,
    cells: forTrainers({
      embedded: { refused: 'The embedded trainer fills rows by itself: leave it out.' },
      hf: hfCell('How short rows are filled. max_length: not with packing.', oneOf('longest', 'max_length'), withRecords),
    }),
    example: () => 'longest',
  },
  {
    path: `${preprocess}.truncation`,
    cells: forTrainers({
      embedded: { refused: 'The embedded trainer cuts rows by itself: leave it out.' },
      hf: hfCell(
        'Which end of a long record is cut off, or that it is an error. Not with packing, but for right.',
        oneOf('right', 'left', 'error'),
        withRecords,
      ),
    }),
    example: () => 'right',
  },
  {
    path: `${preprocess}.chat_template`,
    cells: forTrainers({
      embedded: { refused: bytesOnly },
      hf: hfCell("How messages become text, Jinja. Default: the tokenizer's.", anyText),
    }),
    example: () => '{{ messages }}',
  },
  {
    path: `${preprocess}.field_mapping.*`,
    cells: forTrainers({
      embedded: { acts: 'Field that is expected → field of the record.' },
      hf: hfCell('Field that is expected → field of the record. For RLHF of any name, for the reward function.', anyText),
    }),
    example: () => 'body',
  },
  {
    path: 'data_config.max_seq_length',
    cells: forTrainers({
      embedded: { acts: 'Most bytes of a row, at most what the model allows.' },
      hf: hfCell('Most tokens of a row, 8 or more. Default: what the model allows.', undefined, withRecords),
    }),
    example: () => 64,
  },
  {
    path: 'data_config.batch_size',
    cells: forTrainers({ embedded: { acts: 'Rows a step.' }, hf: hfCell('Sequences a process and pass.') }),
    example: () => 8,
  },
  {
    path: 'data_config.gradient_accumulation_steps',
    cells: forTrainers({ embedded: { acts: 'Passes a step.' }, hf: hfCell('Passes a step.') }),
    example: () => 2,
  },
  {
    path: 'data_config.num_workers',
    cells: forTrainers({
      embedded: { refused: 'The embedded trainer loads data by itself: leave it out.' },
      hf: hfCell('Processes that load data.'),
    }),
    example: () => 2,
  },
  {
    path: 'data_config.pin_memory',
    cells: forTrainers({
      embedded: { refused: 'The embedded trainer has no GPU to pin memory for.' },
      hf: hfCell('Pins batches in memory, for GPUs.'),
    }),
    example: () => true,
  },
  {
    path: 'data_config.validation_split',
    cells: forTrainers({
      embedded: { acts: 'Part of the records that is held out, at most 0.9.' },
      hf: hfCell('Part of the records that is held out, at most 0.9.', undefined, withRecords),
    }),
    example: () => 0.1,
  },
  {
    path: 'data_config.seed',
    cells: forTrainers({ embedded: { acts: 'Of the order of records, and of new weights.' }, hf: hfCell('Of all that is drawn.') }),
    example: () => '7',
  },
]

/** What of these Megatron-LM has a use for: it reads its own checkpoints and its own data, which are tokens already. */
const ofMegatron = new Set([
  ...['model_id', 'source', 'dtype'].map((name) => `${model}.${name}`),
  ...['path', 'type', 'sampling.weight'].map((name) => `${source}.${name}`),
  ...['max_seq_length', 'batch_size', 'gradient_accumulation_steps', 'num_workers', 'validation_split', 'seed'].map(
    (name) => `data_config.${name}`,
  ),
])
const withoutMegatron: FrameworkType[] = ['HF_TRAINER', 'DEEPSPEED', 'FSDP']
const byFramework = (field: Field): Field => {
  const { hf } = field.cells
  if (ofMegatron.has(field.path) || 'refused' in hf) return field
  return { ...field, cells: { ...field.cells, hf: { ...hf, frameworks: withoutMegatron } } }
}

/** `training_config.base_model`. */
export const modelFields: Field[] = ofModel.map(byFramework)
/** `data_config`. */
export const dataFields: Field[] = ofData.map(byFramework)
