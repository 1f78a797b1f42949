import { mkdirSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Evaluation__Output } from '../../../src/generated/proto/scaimind/v1/Evaluation.js'
import { type CoordinatorTenant, startTestCoordinator, type TestCoordinator } from '../../support/coordinator.js'
import { pathWithGpus } from '../../support/gpus.js'

let coordinator: TestCoordinator
let tenant: CoordinatorTenant
let jobId: string

/** Stands in for the interpreter: a trainer that leaves an adapter, or measures, and keeps what its environment says. */
const trainer = `#!/bin/sh
[ "$2" = --check ] && exit 1
env > environment.txt
now=$(date -u +%Y-%m-%dT%H:%M:%S.000Z)
if grep -q '"evaluation"' job.json; then
  echo '{"type":"benchmark","time":"'$now'","index":0,"result":{"name":"hellaswag","num_samples":1,"scores":{"acc":0.5}}}' >> events.jsonl
else
  mkdir output
  echo '{"base_model_name_or_path":"org/model"}' > output/adapter_config.json
  echo '{"type":"artefact","time":"'$now'","kind":"adapter","path":"output","files":["adapter_config.json"],"bytes":41}' >> events.jsonl
fi`

beforeAll(async () => {
  const folder = mkdtempSync(join(tmpdir(), 'scaimind-hf-stub-'))
  mkdirSync(join(folder, 'bin'))
  for (const name of ['python', 'torchrun']) writeFileSync(join(folder, 'bin', name), trainer, { mode: 0o755 })
  coordinator = await startTestCoordinator(
    { PATH: pathWithGpus(4), SCAIMIND_HF_PYTHON: join(folder, 'bin/python'), SCAIMIND_TENANT_GPUS_MAX: '2' },
    { process: true },
  )
  tenant = coordinator.tenant()
  jobId = await tenant.submit({
    name: 'adapter',
    training_config: {
      training_type: 'LORA',
      base_model: { model_id: 'org/model', revision: 'v2', dtype: 'bfloat16' },
      environment: { HF_TOKEN: 'hf_of_the_job', OTHER: 'x' },
    },
    data_config: { sources: [{ path: tenant.file('train.jsonl', '{"text": "one"}\n') }] },
    resource_config: { gpu_count: 2, gpu_type: 'A100-SXM4-80GB' },
  })
  await tenant.until(jobId, 'COMPLETED')
})
afterAll(() => coordinator?.close())

const benchmarks = [{ name: 'hellaswag' }]
const submit = (more: object) => tenant.call<Evaluation__Output>('SubmitEvaluation', { job_id: jobId, benchmarks, ...more })

const refused = (more: object) => tenant.refused('SubmitEvaluation', { job_id: jobId, benchmarks, ...more })

async function evaluated(more: object = {}) {
  const { evaluation_id: id } = await submit(more)
  await tenant.until(id, 'COMPLETED')
  const folder = join(coordinator.dataDir, 'jobs', tenant.id, id, 'attempts', '1')
  const { resource_config: resources } = await tenant.job(id)
  const file = JSON.parse(readFileSync(join(folder, 'job.json'), 'utf8')) as { training_config: { base_model: object } }
  return { resources, environment: readFileSync(join(folder, 'environment.txt'), 'utf8'), model: file.training_config.base_model }
}

describe('An evaluation of a job’s model', () => {
  it('has the GPUs of the job and what it fetched its model with, unless it says otherwise', async () => {
    const { resources, environment, model } = await evaluated()
    expect(resources).toMatchObject({ gpu_count: 2, gpu_type: 'A100-SXM4-80GB', num_nodes: 1 })
    expect(environment).toMatch(/^HF_TOKEN=hf_of_the_job$/m)
    expect(environment).not.toMatch(/^OTHER=/m)
    expect(environment).toMatch(/^CUDA_VISIBLE_DEVICES=\d,\d$/m)
    expect(model).toMatchObject({ revision: 'v2', dtype: 'bfloat16' })
  })

  it('is run on the CPU, or with other variables, where that is asked for', async () => {
    const { resources, environment } = await evaluated({ gpu_count: 0, environment: { HF_TOKEN: 'hf_other', OWN: 'y' } })
    expect(resources).toMatchObject({ gpu_count: 0, gpu_type: '' })
    expect(environment).toMatch(/^HF_TOKEN=hf_other$/m)
    expect(environment).toMatch(/^OWN=y$/m)
  })

  it.each([
    ['more GPUs than there are', { gpu_count: 5 }, 'gpu_count', /more than the cluster has.*4/],
    ['more GPUs than the tenant may hold', { gpu_count: 3 }, 'gpu_count', /more than a tenant may hold.*2/],
    ['a type that there is none of', { gpu_type: 'h100' }, 'gpu_type', /has no GPU of type "h100"; it has A100-SXM4-80GB/],
    ['a variable that is ours', { environment: { RANK: '1' } }, 'environment.RANK', /is set by the coordinator/],
    ['another place for what is fetched', { environment: { HF_HOME: '/tmp' } }, 'environment.HF_HOME', /set by the coordinator/],
    [
      'a setting that the harness has not',
      { benchmarks: [{ name: 'hellaswag', parameters: { num_fewshots: '2' } }] },
      'benchmarks[0].parameters.num_fewshots',
      /did you mean num_fewshot\?/,
    ],
    [
      'a setting of another kind',
      { benchmarks: [{ name: 'hellaswag', parameters: { seed: '-1' } }] },
      'benchmarks[0].parameters.seed',
      /whole number from 0/,
    ],
    ['a job’s model and another', { model_uri: 'org/other' }, 'model_uri', /a job or a model, not both/],
  ])('that asks for %s is refused by field', async (_, more, field, message) => {
    expect(await refused(more)).toMatchObject({ fields: [{ path: field, message: expect.stringMatching(message) }] })
  })

  it('on records of one’s own is measured by what the trainer has for it, with settings of that', async () => {
    const dataset = tenant.file('questions.jsonl', '{"prompt": "one", "completion": "two"}\n')
    const fieldsOf = async (name: string, parameters: Record<string, string>) =>
      (await refused({ benchmarks: [{ name, dataset, parameters }] })).fields.map(({ path }) => path)
    expect(await fieldsOf('bytes_accuracy', {})).toEqual(['benchmarks[0].name'])
    expect(await fieldsOf('mine', { metric: 'accuracy' })).toEqual(['benchmarks[0].parameters.metric'])
    expect(await fieldsOf('contains', { metric: 'exact_match' })).toEqual(['benchmarks[0].parameters.metric'])
    expect(await fieldsOf('perplexity', { max_tokens: '8' })).toEqual(['benchmarks[0].parameters.max_tokens'])
    expect(await fieldsOf('mine', { metric: 'contains', max_tokens: '8', toString: 'x' })).toEqual(['benchmarks[0].parameters.toString'])
  })

  it('of the embedded trainer has no GPUs', async () => {
    const dataset = tenant.file('held-out.jsonl', '{"text": "one two three"}\n')
    const embedded = { job_id: '', model_uri: 'scaimind/byte-tiny', benchmarks: [{ name: 'perplexity', dataset }] }
    expect(await refused({ ...embedded, gpu_count: 1 })).toMatchObject({ fields: [{ path: 'gpu_count' }] })
  })
})
