import { z } from 'zod'
import { toTimestamp } from '../../contract/proto.js'
import { frameworkTypes, saveStrategies, trainingTypes } from '../../contract/statuses.js'
import type { JobSpec } from '../../generated/proto/scaimind/v1/JobSpec.js'
import { parseInput } from './parse.js'

const text = z.string().max(4096)
const filledText = text.min(1, 'This field is required')
const count = z.number().int().min(0).max(4_294_967_295)
const amount = z.number().min(0)
const fractionText = 'This is a fraction from 0.0 to 1.0'
/** 64-bit integers may come as text, which keeps them exact. */
const bigCount = z.union([z.number().int().min(0), z.string().regex(/^\d{1,19}$/)], 'This is a whole number from 0').transform(String)
const bigInteger = z.union([z.number().int(), z.string().regex(/^-?\d{1,19}$/)], 'This is a whole number').transform(String)
/** Numbers and booleans are taken as they are written. */
const mapValue = z.union([z.string(), z.number(), z.boolean()], 'This is a text').transform(String)
/** A map of texts. */
export const mapSchema = z.record(z.string().min(1).max(255), mapValue)
const time = z
  .union([z.date(), z.iso.datetime({ offset: true })])
  .transform((value) => toTimestamp(value instanceof Date ? value : new Date(value)))

/** At most 64, without control characters. */
export const labelsSchema = z
  .record(
    z.string().regex(/^\P{Cc}{1,128}$/u, 'A label is named by 1 to 128 characters, none of them a control character'),
    mapValue.pipe(z.string().regex(/^\P{Cc}{0,255}$/u, 'A label has at most 255 characters, none of them a control character')),
  )
  .refine((labels) => Object.keys(labels).length <= 64, 'A job has at most 64 labels')
  .refine((labels) => labels.type !== 'evaluation', 'type=evaluation is set by the system only')

const priorityText = 'A priority is a whole number from 0 to 10'
/** 0 to 10. */
export const prioritySchema = z.number(priorityText).int(priorityText).min(0, priorityText).max(10, priorityText)

const trainingConfig = z.strictObject({
  training_type: z.enum(trainingTypes),
  base_model: z.strictObject({
    model_id: filledText,
    revision: text.optional(),
    source: text.optional(),
    tokenizer_id: text.optional(),
    dtype: text.optional(),
    trust_remote_code: z.boolean().optional(),
    model_kwargs: mapSchema.optional(),
  }),
  framework: z
    .strictObject({
      type: z.enum(frameworkTypes).optional(),
      config: mapSchema.optional(),
      distributed: z
        .strictObject({ world_size: count.optional(), backend: text.optional(), strategy: text.optional(), config: mapSchema.optional() })
        .optional(),
      custom_script_path: text.optional(),
    })
    .optional(),
  hyperparameters: mapSchema.optional(),
  environment: mapSchema.optional(),
  resume_from_checkpoint: text.optional(),
  max_retries: count.optional(),
  priority: prioritySchema.optional(),
})

/** One source of data. */
export const dataSourceSchema = z.strictObject({
  path: filledText,
  type: text.optional(),
  split: text.optional(),
  format: text.optional(),
  columns: z.array(text).optional(),
  filters: mapSchema.optional(),
  sampling: mapSchema.optional(),
})

/** How records become tokens. */
export const preprocessSchema = z.strictObject({
  tokenizer: text.optional(),
  add_bos: z.boolean().optional(),
  add_eos: z.boolean().optional(),
  padding: text.optional(),
  truncation: text.optional(),
  chat_template: z.string().max(65_536).optional(),
  field_mapping: mapSchema.optional(),
})

const dataConfig = z.strictObject({
  sources: z.array(dataSourceSchema),
  preprocess: preprocessSchema.optional(),
  max_seq_length: count.optional(),
  batch_size: count.optional(),
  gradient_accumulation_steps: count.optional(),
  num_workers: count.optional(),
  pin_memory: z.boolean().optional(),
  validation_split: z.number(fractionText).min(0, fractionText).max(1, fractionText).optional(),
  seed: bigInteger.optional(),
})

const resourceConfig = z.strictObject({
  gpu_count: count.optional(),
  gpu_type: text.optional(),
  num_nodes: count.optional(),
  min_gpu_memory_gb: amount.optional(),
  cpus_per_node: count.optional(),
  memory_gb_per_node: amount.optional(),
  node_selector: mapSchema.optional(),
})

const outputConfig = z.strictObject({
  output_uri: text.optional(),
  save_strategy: z.enum(saveStrategies).optional(),
  save_steps: count.optional(),
  save_total_limit: count.optional(),
  merge_adapter: z.boolean().optional(),
  export_format: text.optional(),
  register_as: text.optional(),
  publish_checkpoints: z.boolean().optional(),
})

const schedulingConfig = z.strictObject({
  queue: text.optional(),
  preemptible: z.boolean().optional(),
  requeue_on_preemption: z.boolean().optional(),
  max_runtime_seconds: bigCount.optional(),
  start_after: time.optional(),
  depends_on: z.array(text).max(100).optional(),
})

/** The submission, proto `JobSpec`. */
export const jobSpecSchema = z.strictObject({
  name: z.string().regex(/^\P{Cc}{1,255}$/u, 'A name has 1 to 255 characters, none of them a control character'),
  labels: labelsSchema.optional(),
  training_config: trainingConfig,
  data_config: dataConfig,
  resource_config: resourceConfig,
  output_config: outputConfig.optional(),
  scheduling_config: schedulingConfig.optional(),
})

/** Reads a submission. Throws an InvalidInput that names every wrong field; what only the coordinator can know (files, models, the inventory) it says itself. */
export function parseJobSpec(input: unknown): JobSpec {
  return parseInput(jobSpecSchema, input) as JobSpec
}

/** 1 to 255 printable ASCII characters. */
export const idempotencyKeySchema = z.string().regex(/^[\x20-\x7e]{1,255}$/, 'An idempotency key has 1 to 255 printable ASCII characters')
