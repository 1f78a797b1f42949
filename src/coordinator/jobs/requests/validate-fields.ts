import type { FieldProblem } from '../../../contract/failure.js'
import { trainingTypes } from '../../../contract/statuses.js'
import { environmentProblems } from '../../data/environment.js'
import type { JobSettings } from '../records/settings.js'
import type { Spec } from '../records/spec.js'

// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const controlCharacters = /[\u0000-\u001f\u007f-\u009f\u2028\u2029]/
const word = /^[A-Za-z0-9_.:-]+$/
const registeredName = /^[A-Za-z0-9_][A-Za-z0-9._-]*$/
const checkpointId = /^ckpt_/
const url = /^[a-z][a-z0-9+.-]*:\/\//i

/** What is wrong with a submission as far as it can be told from its own words, each problem by field. Pure. */
export function fieldProblems(spec: Spec, settings: Pick<JobSettings, 'allowCustomCode' | 'allowTrustRemoteCode'>): FieldProblem[] {
  return [
    ...nameProblems(spec.name),
    ...labelProblems(spec.labels, 'labels'),
    ...trainingProblems(spec.training_config, settings),
    ...dataProblems(spec.data_config),
    ...resourceProblems(spec.resource_config),
    ...outputProblems(spec.output_config),
    ...schedulingProblems(spec.scheduling_config),
  ]
}

/** Labels: at most 64, none of the reserved name, nothing that breaks a line. */
export function labelProblems(labels: Record<string, string>, path: string): FieldProblem[] {
  const entries = Object.entries(labels)
  return [
    ...when(entries.length > 64, path, `A job has at most 64 labels, not ${entries.length}.`),
    ...entries.flatMap(([key, value]) => [
      ...when(key === 'type', `${path}.type`, 'This label is set by ScaiMind itself.'),
      ...when(key === '' || key.length > 128, path, 'The name of a label is 1 to 128 characters.'),
      ...when(value.length > 255, `${path}.${key}`, 'The value of a label is at most 255 characters.'),
      ...when(controlCharacters.test(key + value), path, `The label ${JSON.stringify(key)} holds control characters.`),
    ]),
  ]
}

/** Priority: 0 to 10. */
export function priorityProblems(priority: number, path: string): FieldProblem[] {
  return when(priority > 10, path, `priority is 0 to 10, not ${priority}.`)
}

function nameProblems(name: string): FieldProblem[] {
  return [
    ...when(name === '' || name.length > 255, 'name', 'A name of 1 to 255 characters is required.'),
    ...when(controlCharacters.test(name), 'name', 'A name holds no control characters.'),
  ]
}

function trainingProblems(
  training: Spec['training_config'],
  { allowCustomCode, allowTrustRemoteCode }: Pick<JobSettings, 'allowCustomCode' | 'allowTrustRemoteCode'>,
): FieldProblem[] {
  const { base_model: model, framework } = training
  const path = 'training_config'
  const isCustom = framework.type === 'CUSTOM'
  return [
    ...when(
      !trainingTypes.some((type) => type === training.training_type),
      `${path}.training_type`,
      `A training type is required: ${trainingTypes.join(', ')}.`,
    ),
    ...when(
      model.model_id === '',
      `${path}.base_model.model_id`,
      'A model is required: a HuggingFace id (org/name), scaimind/byte-tiny, or the path of a folder under the data roots, beginning with / or ./.',
    ),
    ...when(url.test(model.model_id), `${path}.base_model.model_id`, 'A model is named or given by path, never by URL.'),
    ...when(controlCharacters.test(model.model_id), `${path}.base_model.model_id`, 'A model id holds no control characters.'),
    ...when(
      model.trust_remote_code && !allowTrustRemoteCode,
      `${path}.base_model.trust_remote_code`,
      'Code from models is off; the operator may allow it with SCAIMIND_ALLOW_TRUST_REMOTE_CODE.',
    ),
    ...when(isCustom && framework.custom_script_path === '', `${path}.framework.custom_script_path`, 'A script is required for CUSTOM.'),
    ...when(
      isCustom && !allowCustomCode,
      `${path}.framework.type`,
      'Jobs with code of their own are off; the operator may allow them with SCAIMIND_ALLOW_CUSTOM_CODE.',
    ),
    ...when(
      isCustom && framework.distributed !== null && Number(framework.distributed.world_size) > 1,
      `${path}.framework.distributed.world_size`,
      'One process a node is started; leave world_size out and use resource_config.num_nodes.',
    ),
    ...codeOfTheJob(training).flatMap((field) =>
      when(
        !isCustom && !allowCustomCode,
        field,
        'Jobs with code of their own are off; the operator may allow them with SCAIMIND_ALLOW_CUSTOM_CODE.',
      ),
    ),
    ...environmentProblems(training.environment),
    ...when(
      training.resume_from_checkpoint !== '' && !checkpointId.test(training.resume_from_checkpoint),
      `${path}.resume_from_checkpoint`,
      `A checkpoint is named by its id, ckpt_…, as the checkpoints of its job list them (scaimind job show), not by ${inBrief(training.resume_from_checkpoint)}.`,
    ),
    ...when(training.max_retries > 100, `${path}.max_retries`, `max_retries is 0 to 100, not ${training.max_retries}.`),
    ...priorityProblems(training.priority, `${path}.priority`),
  ]
}

/** The fields that name code which the trainer would run. */
function codeOfTheJob({ hyperparameters, framework }: Spec['training_config']): string[] {
  return [
    ...('reward_function' in hyperparameters ? ['training_config.hyperparameters.reward_function'] : []),
    ...('megatron_path' in framework.config ? ['training_config.framework.config.megatron_path'] : []),
  ]
}

/** A data set on a hub, `org/name` or `org/name:config`: nothing that could be taken for a path. */
const hubDataset = /^[A-Za-z0-9][\w.-]{0,95}(?:\/[A-Za-z0-9_][\w.-]{0,95})?(?::[\w.-]{1,128})?$/

function dataProblems({ sources, validation_split: split = 0 }: Spec['data_config']): FieldProblem[] {
  return [
    ...when(sources.length === 0, 'data_config.sources', 'At least one data source is required.'),
    ...when(sources.length > 1000, 'data_config.sources', `At most 1,000 data sources are possible, not ${sources.length}.`),
    ...sources.flatMap(({ path, type }, index) => [
      ...when(path === '', `data_config.sources[${index}].path`, 'The path of a file under the data roots is required.'),
      ...when(
        path !== '' && type === 'huggingface' && !hubDataset.test(path),
        `data_config.sources[${index}].path`,
        'A data set on the hub is named org/name, or org/name:config.',
      ),
    ]),
    ...when(!(Number(split) >= 0 && Number(split) <= 1), 'data_config.validation_split', `validation_split is 0.0 to 1.0, not ${split}.`),
  ]
}

function resourceProblems(resources: Spec['resource_config']): FieldProblem[] {
  const { gpu_count: gpus, gpu_type: type, num_nodes: nodes, node_selector: selector } = resources
  const path = 'resource_config'
  return [
    ...when(gpus % nodes !== 0, `${path}.gpu_count`, `${gpus} GPUs cannot be spread evenly over ${nodes} nodes.`),
    ...when(type !== '' && !word.test(type), `${path}.gpu_type`, 'A GPU type is letters, digits and _ . : - only.'),
    ...Object.entries(selector).flatMap(([key, value]) =>
      key === 'node_id' || key === 'hostname' || key === 'feature'
        ? when(!word.test(value), `${path}.node_selector.${key}`, 'A value is letters, digits and _ . : - only.')
        : when(true, `${path}.node_selector`, `Nodes are selected by node_id, hostname or feature, not by ${JSON.stringify(key)}.`),
    ),
    ...(['min_gpu_memory_gb', 'memory_gb_per_node'] as const).flatMap((name) =>
      when(
        !(Number(resources[name]) >= 0 && Number(resources[name]) < 1e6),
        `${path}.${name}`,
        `${name} is a number of gigabytes, 0 or more.`,
      ),
    ),
    ...when(gpus === 0 && type !== '', `${path}.gpu_type`, 'A job without GPUs (gpu_count 0) has no GPU type.'),
  ]
}

function outputProblems(output: Spec['output_config']): FieldProblem[] {
  const { register_as: registerAs, publish_checkpoints: publishes, merge_adapter: merges } = output
  // A merged model is registered beside its adapter, with an ending to its name.
  const lengthMax = merges ? 121 : 128
  const isName = registeredName.test(registerAs) && registerAs.length <= lengthMax
  return [
    ...when(
      registerAs !== '' && !isName,
      'output_config.register_as',
      `A registered name is 1 to ${lengthMax} letters, digits and _ . - only, the first no dot or dash.`,
    ),
    ...when(
      publishes && registerAs === '',
      'output_config.publish_checkpoints',
      'Checkpoints are published under a name; give register_as, too.',
    ),
  ]
}

function schedulingProblems(scheduling: Spec['scheduling_config']): FieldProblem[] {
  const path = 'scheduling_config'
  const { queue, max_runtime_seconds: limit, start_after: startAfter, depends_on: dependencies } = scheduling
  return [
    ...when(!word.test(queue) || queue.length > 64, `${path}.queue`, 'A queue is 1 to 64 letters, digits and _ . : - only.'),
    ...when(Number(limit) > 1e9, `${path}.max_runtime_seconds`, `max_runtime_seconds is at most 1000000000, not ${limit}.`),
    ...when(
      startAfter !== null && !(Number(startAfter.seconds) >= 0 && Number(startAfter.seconds) < 253_402_300_800),
      `${path}.start_after`,
      'start_after is a time from 1970 to 9999.',
    ),
    ...when(dependencies.length > 100, `${path}.depends_on`, `A job depends on at most 100 others, not ${dependencies.length}.`),
  ]
}

/** A text in quotes, its end left out where it is long. */
const inBrief = (text: string) => JSON.stringify(text.length > 64 ? `${text.slice(0, 64)}…` : text)

function when(wrong: boolean, path: string, message: string): FieldProblem[] {
  return wrong ? [{ path, message }] : []
}
