import { readFileSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { parse } from 'yaml'
import type { Job__Output } from '../../../src/generated/proto/scaimind/v1/Job.js'
import type { JobSpec } from '../../../src/generated/proto/scaimind/v1/JobSpec.js'
import type { MetricEvent__Output } from '../../../src/generated/proto/scaimind/v1/MetricEvent.js'
import type { SubmitJobResponse__Output } from '../../../src/generated/proto/scaimind/v1/SubmitJobResponse.js'
import { type CoordinatorTenant, keepOnFailure, startTestCoordinator, type TestCoordinator } from '../../support/coordinator.js'
import { records } from '../../support/jobs.js'

let coordinator: TestCoordinator
let tenant: CoordinatorTenant

beforeAll(async () => {
  coordinator = await startTestCoordinator()
  tenant = coordinator.tenant()
})
afterAll(async () => {
  await coordinator?.close()
})

const lora = (steps: number): JobSpec => ({
  name: 'lora',
  training_config: {
    training_type: 'LORA',
    base_model: { model_id: 'scaimind/byte-tiny' },
    hyperparameters: { max_steps: String(steps), learning_rate: '0.001', lora_r: '4' },
  },
  data_config: { sources: [{ path: tenant.file('train.jsonl', records(40)) }], batch_size: 2, max_seq_length: 96, validation_split: 0.1 },
  resource_config: {},
})

describe('The embedded trainer under the coordinator', () => {
  it('a dry run plans it and stores nothing', async () => {
    const answer = await tenant.call<SubmitJobResponse__Output>('SubmitJob', { spec: lora(12), dry_run: true })
    expect(answer).toMatchObject({ job: null, plan: { records: '40', starts_now: true, jobs_ahead: 0 } })
    expect(answer.plan?.nodes).toHaveLength(1)
    expect(await tenant.call('ListJobs')).toMatchObject({ total_count: '0' })
  })

  it('a LoRA job is paused, resumed, evaluated and exported; every step is told once', async () => {
    keepOnFailure(coordinator)
    const id = await tenant.submit(lora(12))
    const steps: number[] = []
    let asked = false
    for await (const { batch } of tenant.stream<MetricEvent__Output>('StreamJobMetrics', { job_id: id })) {
      steps.push(...(batch?.records ?? []).filter(({ values }) => 'loss' in values).map(({ step }) => Number(step)))
      if (asked || steps.length === 0) continue
      asked = true
      await tenant.until(id, 'TRAINING')
      const pausing = await tenant.call<Job__Output>('PauseJob', { job_id: id }).catch(() => null)
      if (!pausing) continue
      await tenant.until(id, ({ to_status }) => to_status === 'PAUSED' || to_status === 'COMPLETED')
      if ((await tenant.job(id)).status === 'PAUSED') await tenant.call('ResumeJob', { job_id: id })
    }
    const job = await tenant.job(id)
    expect(job).toMatchObject({ status: 'COMPLETED', output: { kind: 'adapter' }, progress: { step: '12', total_steps: '12' } })
    expect(job.final_evaluation?.tuned?.perplexity).toBeGreaterThan(1)
    expect([...new Set(steps)]).toEqual(Array.from({ length: 12 }, (_, index) => index + 1))
    expect(await tenant.statuses(id)).toEqual(expect.arrayContaining(['TRAINING', 'CHECKPOINTING', 'EVALUATING', 'EXPORTING', 'COMPLETED']))
  })

  it('examples/dpo.yaml learns which answers are preferred: the margin rises until it is completed', async () => {
    keepOnFailure(coordinator)
    const example = (path: string) => readFileSync(new URL(`../../../examples/${path}`, import.meta.url), 'utf8')
    const spec = parse(example('dpo.yaml')) as JobSpec
    const [source] = spec.data_config?.sources ?? []
    expect(source?.path).toBe('examples/data/short-answers.jsonl')
    const pairs = example('data/short-answers.jsonl').split('\n').slice(0, 20).join('\n')
    const id = await tenant.submit({
      ...spec,
      training_config: { ...spec.training_config, hyperparameters: { ...spec.training_config?.hyperparameters, max_steps: '5' } },
      data_config: { ...spec.data_config, sources: [{ path: tenant.file('pairs.jsonl', pairs) }] },
    })
    const margins: number[] = []
    for await (const { batch } of tenant.stream<MetricEvent__Output>('StreamJobMetrics', { job_id: id }))
      for (const { values } of batch?.records ?? []) if (values.rewards_margin !== undefined) margins.push(values.rewards_margin)
    const job = await tenant.job(id)
    expect(job).toMatchObject({ status: 'COMPLETED', output: { kind: 'model' }, progress: { step: '5' } })
    expect(margins).toHaveLength(5)
    expect(margins[0]).toBeCloseTo(0, 3)
    expect(margins[4]).toBeGreaterThan(0.1)
    expect(job.final_evaluation?.tuned?.perplexity).toBeGreaterThan(1)
  })
})
