/** What starts a framework's worker processes, one a GPU or as many as are asked for on CPUs, on each node of an attempt. */
export interface StarterOptions {
  /** A FrameworkType; '' for a trainer that is started as it is. */
  framework: string
  nodes: number
  /** 0: the processes are on the node's CPUs. */
  gpusPerNode: number
  /** Processes a node, for those on CPUs. Default 1. */
  processesPerNode?: number
  /** The texts to put for what each node has of its own: literals, or the names of a script's variables. */
  address: { nodeRank: string; masterAddress: string; masterPort: string }
}

/**
 * The words to put before a trainer's command on each node; none for CUSTOM and ''. The command stays program and arguments: every starter is told to
 * run it as it is, without an interpreter of its own, and the workers read LOCAL_RANK from their environment.
 *
 * - HF_TRAINER, MEGATRON: torchrun, with a static rendezvous (https://docs.pytorch.org/docs/stable/elastic/run.html).
 * - FSDP: accelerate launch; its number of processes is that of all nodes together
 *   (https://huggingface.co/docs/accelerate/package_reference/cli#accelerate-launch).
 * - DEEPSPEED on one node: the deepspeed launcher, a process for each GPU of CUDA_VISIBLE_DEVICES, which it heeds only where neither number of nodes nor of
 *   GPUs is given (https://www.deepspeed.ai/getting-started/#resource-configuration-single-node). On several nodes it needs a hostfile, and gives its workers
 *   the GPUs from 0 whatever the node's share is, so there it is torchrun, which DeepSpeed runs under as well
 *   (https://huggingface.co/docs/transformers/deepspeed#deploy).
 */
export function starterWords({ framework, nodes, gpusPerNode, processesPerNode: onCpus = 1, address }: StarterOptions): string[] {
  const processesPerNode = gpusPerNode || onCpus
  const { nodeRank, masterAddress, masterPort } = address
  const torchrun = [
    'torchrun',
    `--nnodes=${nodes}`,
    `--nproc-per-node=${processesPerNode}`,
    `--node-rank=${nodeRank}`,
    `--master-addr=${masterAddress}`,
    `--master-port=${masterPort}`,
    '--no-python',
  ]
  switch (framework) {
    case 'HF_TRAINER':
    case 'MEGATRON':
      return torchrun
    case 'FSDP':
      return [
        'accelerate',
        'launch',
        '--use_fsdp',
        `--num_machines=${nodes}`,
        `--num_processes=${nodes * processesPerNode}`,
        `--machine_rank=${nodeRank}`,
        `--main_process_ip=${masterAddress}`,
        `--main_process_port=${masterPort}`,
        '--no_python',
      ]
    case 'DEEPSPEED':
      if (nodes > 1) return torchrun
      return ['deepspeed', `--master_port=${masterPort}`, '--no_python', '--no_local_rank']
    default:
      return []
  }
}
