import type { FailureClass } from '../../../contract/statuses.js'

/** What a line of a log says about why its trainer failed. */
export interface Sign {
  class: FailureClass
  pattern: RegExp
  hint: string
}

const lessMemory =
  'Lower data_config.batch_size or max_seq_length (raise gradient_accumulation_steps to keep the effective batch), train with LORA or QLORA, or ask for more or larger GPUs.'

/**
 * The signs, the surest cause first: when one rank runs out of memory, the others report a broken collective. Ordinary exceptions come
 * before collectives for the same reason, and are looked for by `exceptionPattern`.
 */
export const signs: Sign[] = [
  {
    class: 'OUT_OF_MEMORY',
    pattern: /(?:CUDA|HIP|GPU|device)\b.{0,40}out of memory|OutOfMemoryError|CUBLAS_STATUS_ALLOC_FAILED/i,
    hint: lessMemory,
  },
  {
    class: 'OUT_OF_MEMORY',
    pattern:
      /out of memory|\bMemoryError\b|cannot allocate memory|std::bad_alloc|oom-kill|DataLoader worker .{0,60}killed by signal: Killed/i,
    hint: 'Raise resource_config.memory_gb_per_node, or lower data_config.num_workers, batch_size or max_seq_length.',
  },
  {
    class: 'NAN_LOSS',
    pattern:
      /\bloss\b.{0,30}\b(?:nan|inf(?:inity)?|not finite|non-finite)\b|\b(?:nan|non-finite|infinite)\b.{0,20}\b(?:loss|gradients?)\b|returned nan values|FloatingPointError/i,
    hint: 'Lower learning_rate, raise warmup_steps, clip by max_grad_norm, train in bfloat16 or float32, and look at the records of the first bad step.',
  },
  {
    class: 'AUTH',
    pattern:
      /\b40[13] (?:Client Error|Unauthorized|Forbidden)|(?:HTTP|status)\D{0,20}\b40[13]\b|GatedRepoError|Access to model .{1,200} is restricted|Invalid (?:user )?(?:token|credentials)|(?:AccessDenied|Unauthorized)\b/i,
    hint: "Give the trainer a token that may read it (training_config.environment, as HF_TOKEN), and accept the model's terms at its hub.",
  },
  {
    class: 'NODE',
    pattern:
      /uncorrectable ECC|\bXid\b.{0,10}\d|fallen off the bus|no CUDA-capable device|CUDA driver version is insufficient|No space left on device|\bENOSPC\b|Input\/output error|Stale file handle|NVML.{0,30}(?:error|mismatch)/i,
    hint: 'The machine is at fault, not the job: drain the node, and retry the job elsewhere.',
  },
  {
    class: 'DATA',
    pattern:
      /JSONDecodeError|UnicodeDecodeError|\bArrow(?:Invalid|TypeError)\b|DatasetGenerationError|DatasetNotFoundError|DataFilesNotFoundError|KeyError: '(?:text|prompt|completion|messages|chosen|rejected|input_ids|labels)'|(?:No such file|ENOENT).{0,200}\.(?:jsonl?|csv|parquet|arrow|txt)\b/i,
    hint: 'Check the sources first: `scaimind job submit --dry-run` or validateData names what is wrong, by line.',
  },
]

/** Processes that wait for each other and one that does not come. */
export const collectiveHang: Sign = {
  class: 'COLLECTIVE_HANG',
  pattern:
    /Watchdog caught collective operation timeout|collective operation timeout|\bProcessGroup(?:NCCL|Gloo)\b|\bNCCL\b.{0,80}(?:error|timed? ?out|abort)|nccl(?:System|Remote|Internal|UnhandledCuda)Error|(?:Gloo|c10d|rendezvous|barrier|all_?reduce|TCPStore)\b.{0,80}time(?:d )?-?out|Rendezvous(?:Timeout|Connection)Error|DistBackendError|DistStoreError/i,
  hint: 'A rank stopped or fell behind while the others waited: look for the rank whose log ends first. NCCL_DEBUG=INFO in training_config.environment tells more.',
}

/** A line that names an exception of Python, JavaScript and their kin. */
export const exceptionPattern = /^\s*(?:Uncaught )?(?:[\w.]*(?:Error|Exception|Interrupt))\b/
