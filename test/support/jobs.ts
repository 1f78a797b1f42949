import type { Tenant } from './tenant.js'

/** Text that a model can learn something from, one record a line. */
export const records = (count: number): string =>
  Array.from({ length: count }, (_, i) =>
    JSON.stringify({ prompt: `Question ${i}: what is ${i} plus ${i}?`, completion: ` It is ${2 * i}, and that is all there is to say.` }),
  ).join('\n')

/** A small LoRA job for the embedded trainer, in GraphQL's shape. */
export function loraInput(
  tenant: Tenant,
  { steps = 6, name = 'small', ...rest }: { steps?: number; name?: string; [key: string]: unknown } = {},
) {
  const path = tenant.file('train.jsonl', records(40))
  return {
    name,
    trainingConfig: {
      trainingType: 'LORA',
      baseModel: { modelId: 'scaimind/byte-tiny' },
      hyperparameters: [
        { key: 'max_steps', value: String(steps) },
        { key: 'learning_rate', value: '0.001' },
        { key: 'lora_r', value: '4' },
      ],
    },
    dataConfig: { sources: [{ path }], batchSize: 2, maxSeqLength: 32, seed: 7 },
    resourceConfig: { gpuCount: 0 },
    ...rest,
  }
}

/** A CUSTOM job that runs the given Node script, in GraphQL's shape. */
export function customInput(tenant: Tenant, script: string, { name = 'custom', ...rest }: { name?: string; [key: string]: unknown } = {}) {
  const path = tenant.file('train.txt', 'some text\n')
  return {
    name,
    trainingConfig: {
      trainingType: 'SFT',
      baseModel: { modelId: 'scaimind/byte-tiny' },
      framework: { type: 'CUSTOM', customScriptPath: tenant.file(`${name}.mjs`, script) },
    },
    dataConfig: { sources: [{ path }] },
    resourceConfig: { gpuCount: 0 },
    ...rest,
  }
}

const submission = `mutation ($input: SubmitJobInput!) {
  submitJob(input: $input) {
    __typename
    ... on SubmitJobSuccess { job { jobId status } }
    ... on InvalidInput { fields { path message } }
    ... on Error { code message }
  }
}`

/** Submits and answers the job's id. Throws with the refusal where there is one. */
export async function submit(tenant: Tenant, input: unknown): Promise<string> {
  const { submitJob } = await tenant.data<{ submitJob: { job?: { jobId: string }; message?: string } }>(submission, { input })
  if (!submitJob.job) throw new Error(submitJob.message)
  return submitJob.job.jobId
}

/** Waits until the job is in one of the statuses; throws where it ends in another. */
export async function untilStatus(tenant: Tenant, jobId: string, ...statuses: string[]): Promise<void> {
  const { job } = await tenant.data<{ job: { status: string } }>('query ($id: ID!) { job(jobId: $id) { status } }', { id: jobId })
  if (statuses.includes(job.status)) return
  const updates = tenant.subscribe<{ jobUpdated: { job: { status: string; message: string } } }>(
    'subscription ($id: ID!) { jobUpdated(jobId: $id) { job { status message } } }',
    { id: jobId },
  )
  let last = job.status
  for await (const { jobUpdated } of updates) {
    last = jobUpdated.job.status
    if (statuses.includes(last)) return
  }
  throw new Error(`The job ended ${last}, not ${statuses.join(' or ')}.`)
}
