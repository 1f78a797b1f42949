/** The demo's job, in GraphQL's shape: a small LoRA fine-tune that holds a tenth of its records out. */
export function demoJob(file: string) {
  return {
    name: 'demo',
    labels: [{ key: 'demo', value: 'true' }],
    trainingConfig: {
      trainingType: 'LORA',
      baseModel: { modelId: 'scaimind/byte-tiny' },
      hyperparameters: Object.entries({
        max_steps: 300,
        learning_rate: 0.01,
        lr_scheduler_type: 'cosine',
        warmup_steps: 10,
        lora_r: 16,
        lora_alpha: 32,
      }).map(([key, value]) => ({ key, value: String(value) })),
    },
    dataConfig: { sources: [{ path: file }], batchSize: 4, maxSeqLength: 128, validationSplit: 0.1, seed: 42 },
    resourceConfig: { gpuCount: 0 },
  }
}
