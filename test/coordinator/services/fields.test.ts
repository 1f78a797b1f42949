import { dirname } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { answerOf, type Situation } from '../../../src/coordinator/jobs/fields/field.js'
import { fields } from '../../../src/coordinator/jobs/fields/table.js'
import type { JobSpec } from '../../../src/generated/proto/scaimind/v1/JobSpec.js'
import type { SubmitJobResponse__Output } from '../../../src/generated/proto/scaimind/v1/SubmitJobResponse.js'
import { type CoordinatorTenant, startTestCoordinator, type TestCoordinator, toRefusal } from '../../support/coordinator.js'
import { pathWithGpus } from '../../support/gpus.js'
import { records } from '../../support/jobs.js'
import { pathIn, type SubmissionFiles, specOfCell } from '../../support/submission-fields.js'

let coordinator: TestCoordinator
let tenant: CoordinatorTenant
let files: SubmissionFiles

// A machine of four GPUs whose operator runs the trainer of HuggingFace models by a wrapper: a dry run looks for nothing behind it.
beforeAll(async () => {
  const settings = { PATH: pathWithGpus(4), SCAIMIND_HF_WRAPPER: 'env', SCAIMIND_ALLOW_TRUST_REMOTE_CODE: 'true' }
  coordinator = await startTestCoordinator(settings, { process: true })
  tenant = coordinator.tenant()
  files = {
    data: tenant.file('train.jsonl', records(20)),
    script: tenant.file('train.mjs', ''),
    reward: tenant.file('reward.py', ''),
    megatron: dirname(tenant.file('megatron/pretrain_gpt.py', '')),
  }
})
afterAll(() => coordinator?.close())

/** The fields that a dry run refuses; none where it accepts. */
async function refusedFields(spec: JobSpec): Promise<string[]> {
  return await tenant.call<SubmitJobResponse__Output>('SubmitJob', { spec, dry_run: true }).then(
    ({ plan }) => (plan?.acceptable ? [] : ['data']),
    (error: unknown) => {
      const { fields: wrong, code } = toRefusal(error)
      return wrong.length > 0 ? wrong.map(({ path }) => path) : [code]
    },
  )
}

const asked: Situation[] = [
  { trainer: 'hf', type: 'LORA', framework: 'HF_TRAINER' },
  { trainer: 'hf', type: 'SFT', framework: 'FSDP' },
  { trainer: 'hf', type: 'RLHF', framework: 'HF_TRAINER' },
  { trainer: 'hf', type: 'DPO', framework: 'DEEPSPEED' },
  { trainer: 'hf', type: 'CONTINUED_PRETRAIN', framework: 'MEGATRON' },
  { trainer: 'custom', type: 'SFT', framework: 'CUSTOM' },
]

describe('A dry run', () => {
  // All situations are walked where the rules are tested by themselves; here each field meets two of them, neighbouring fields others.
  it('accepts and refuses every field as the table says', async () => {
    const cells = fields.flatMap((field, index) =>
      [0, 1].map((step) => ({ field, situation: asked[(index + step) % asked.length] as Situation })),
    )
    // What a machine has of nodes is not the submission's alone.
    const answers = cells
      .filter(({ field }) => !field.path.startsWith('resource_config.'))
      .map(async ({ field, situation }) => {
        const path = pathIn(field.path).replace('field_mapping.any', 'field_mapping.text')
        const expected = 'acts' in answerOf(field, situation) ? [] : [path]
        return { path, situation, expected, found: await refusedFields(specOfCell({ situation, field }, files) as JobSpec) }
      })
    const wrong = (await Promise.all(answers)).filter(({ expected, found }) => expected.join() !== found.join())
    expect(wrong).toEqual([])
  })

  it('follows the paths among the settings, and runs code of the tenant only where that is allowed', async () => {
    const rlhf = (reward: string) =>
      specOfCell({ situation: { trainer: 'hf', type: 'RLHF', framework: 'HF_TRAINER' }, field: rewardFunction }, { ...files, reward })
    const rewardFunction = fields.find(({ path }) => path.endsWith('.reward_function')) as (typeof fields)[number]
    expect(await refusedFields(rlhf('reward.py') as JobSpec)).toEqual([])
    // The last is a folder.
    for (const reward of ['/etc/passwd', tenant.files])
      expect(await refusedFields(rlhf(reward) as JobSpec)).toEqual(['training_config.hyperparameters.reward_function'])
    const strict = await startTestCoordinator({ SCAIMIND_HF_WRAPPER: 'env', SCAIMIND_ALLOW_CUSTOM_CODE: 'false' })
    try {
      const other = strict.tenant()
      const spec = rlhf(other.file('reward.py', ''))
      const sources = [{ path: other.file('train.jsonl', records(20)) }]
      const refusal = await other.refused('SubmitJob', { spec: { ...spec, data_config: { ...spec.data_config, sources } } })
      expect(refusal.fields).toEqual([
        { path: 'training_config.hyperparameters.reward_function', message: expect.stringContaining('SCAIMIND_ALLOW_CUSTOM_CODE') },
      ])
    } finally {
      await strict.close()
    }
  })
})
