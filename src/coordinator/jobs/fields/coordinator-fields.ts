import { type Field, forAll, forTrainers } from './field.js'
import { oneOf } from './kinds.js'

const field = (path: string, example: unknown, acts: string): Field => ({ path, cells: forAll({ acts }), example: () => example })

/** What the coordinator itself acts on, whoever trains, and what is saved. */
export const coordinatorFields: Field[] = [
  field('name', 'a name', 'What people call the job.'),
  field('labels.*', 'red', 'For listings and filters.'),
  {
    path: 'training_config.training_type',
    cells: forTrainers({
      embedded: { acts: 'SFT, LORA, DPO, CONTINUED_PRETRAIN or FULL_FINETUNE.' },
      hf: { acts: 'Any of the seven. QLORA needs GPUs, and does not run under FSDP.' },
    }),
    example: ({ type }) => type,
  },
  {
    path: 'training_config.environment.*',
    cells: {
      ...forAll({ acts: "Environment variables of the trainer, but for those that are the coordinator's or choose code." }),
      hf: {
        acts: 'As for other trainers, but for those that say where models, data and code are kept. HF_TOKEN, HF_ENDPOINT, NCCL_… act.',
      },
    },
    example: () => 'value',
  },
  field('training_config.resume_from_checkpoint', '', 'A checkpoint of a job of the tenant that the first attempt starts from.'),
  field('training_config.max_retries', 2, 'Attempts after a failure.'),
  field('training_config.priority', 7, 'Who is first in the queue.'),
  {
    path: 'resource_config.gpu_count',
    cells: {
      ...forAll({ acts: 'GPUs of all nodes, one a process.' }),
      embedded: { refused: 'The embedded trainer runs on a CPU.' },
    },
    example: () => 2,
  },
  field('resource_config.gpu_type', '', 'Only nodes with such GPUs.'),
  {
    path: 'resource_config.num_nodes',
    cells: { ...forAll({ acts: 'Machines that train together.' }), embedded: { refused: 'The embedded trainer runs on one node.' } },
    example: () => 2,
  },
  field('resource_config.min_gpu_memory_gb', 0, 'Only GPUs with so much memory.'),
  field('resource_config.cpus_per_node', 1, 'CPUs that are set aside on each node.'),
  field('resource_config.memory_gb_per_node', 0, 'Memory that is set aside on each node.'),
  field('resource_config.node_selector.node_id', 'local', 'Only the node with this id.'),
  field('resource_config.node_selector.hostname', 'gpu01', 'Only the node with this name.'),
  field('resource_config.node_selector.feature', 'nvlink', 'Only nodes of which the cluster says this word.'),
  field('output_config.output_uri', '', 'A folder under the data roots that the output is copied to.'),
  {
    path: 'output_config.save_strategy',
    cells: forTrainers({
      embedded: { acts: 'When checkpoints are saved.' },
      hf: { acts: 'When checkpoints are saved.', kind: oneOf('STEPS', 'EPOCH', 'NONE') },
    }),
    example: () => 'EPOCH',
  },
  {
    path: 'output_config.save_steps',
    cells: forTrainers({ embedded: { acts: 'Steps between checkpoints.' }, hf: { acts: 'Steps between checkpoints.' } }),
    example: () => 20,
  },
  {
    path: 'output_config.save_total_limit',
    cells: forTrainers({ embedded: { acts: 'Checkpoints that are kept.' }, hf: { acts: 'Checkpoints that are kept.' } }),
    example: () => 2,
  },
  {
    path: 'output_config.merge_adapter',
    cells: forTrainers({
      embedded: { acts: 'Saves the model with its adapter merged too.', types: ['LORA', 'DPO'] },
      hf: { acts: 'Saves the model with its adapter merged too.', types: ['LORA', 'DPO', 'RLHF'] },
    }),
    example: () => true,
    with: () => ({ 'training_config.hyperparameters.lora_r': '8' }),
  },
  {
    path: 'output_config.export_format',
    cells: forTrainers({
      embedded: { acts: 'Only `safetensors`, which it is.' },
      hf: { acts: 'Only `safetensors`, which it is.', kind: oneOf('safetensors') },
    }),
    example: () => 'safetensors',
  },
  field('output_config.register_as', 'my-model', 'The name that the output is registered under.'),
  {
    path: 'output_config.publish_checkpoints',
    cells: forAll({ acts: 'Registers each checkpoint too while the job trains. Needs register_as.' }),
    example: () => true,
    with: () => ({ 'output_config.register_as': 'my-model' }),
  },
  field('scheduling_config.queue', 'default', 'The queue; of Slurm a partition.'),
  field('scheduling_config.preemptible', true, 'Whether a job of higher priority may take its place.'),
  field('scheduling_config.requeue_on_preemption', true, 'Whether it then waits for another.'),
  field('scheduling_config.max_runtime_seconds', '3600', 'Longest run of an attempt.'),
  field('scheduling_config.start_after', null, 'Not before this time.'),
  field('scheduling_config.depends_on', [], 'Jobs that must be COMPLETED first.'),
]
