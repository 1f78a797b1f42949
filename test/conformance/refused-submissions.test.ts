import { symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Door, doors, dryRunDoors, type Submission, toGraphQLInput } from '../support/doors.js'
import { records } from '../support/jobs.js'
import { keepOnFailure, type Stack, startStack } from '../support/stack.js'
import type { Tenant } from '../support/tenant.js'

let stack: Stack
let tenant: Tenant

beforeAll(async () => {
  stack = await startStack()
  tenant = await stack.tenant()
})
afterAll(async () => {
  await stack?.close()
})

interface Parts {
  training_config: Submission
  data_config: { sources: Submission[]; [key: string]: unknown }
  resource_config: Submission
  [key: string]: unknown
}

/** One mistake, the field that the refusal must name, and words that must be in it. */
interface Mistake {
  mistake: string
  make: (job: Parts, tenant: Tenant) => void
  path: string
  says: RegExp
}

const mistakes: Mistake[] = [
  {
    mistake: 'no name',
    make: (job) => Object.assign(job, { name: '' }),
    path: 'name',
    says: /1 to 255|required/,
  },
  {
    mistake: 'an unknown training type',
    make: (job) => Object.assign(job.training_config, { training_type: 'MAGIC' }),
    path: 'training_config.training_type',
    says: /MAGIC|SFT/,
  },
  {
    mistake: 'no base model',
    make: (job) => Object.assign(job.training_config, { base_model: { model_id: '' } }),
    path: 'training_config.base_model.model_id',
    says: /required/,
  },
  {
    mistake: 'a model by URL',
    make: (job) => Object.assign(job.training_config, { base_model: { model_id: 'https://example.com/model' } }),
    path: 'training_config.base_model.model_id',
    says: /URL/,
  },
  {
    mistake: 'priority 11',
    make: (job) => Object.assign(job.training_config, { priority: 11 }),
    path: 'training_config.priority',
    says: /0 to 10/,
  },
  {
    mistake: 'a validation split of 1.5',
    make: (job) => Object.assign(job.data_config, { validation_split: 1.5 }),
    path: 'data_config.validation_split',
    says: /0.* to .*1/,
  },
  {
    mistake: 'an unknown hyperparameter',
    make: (job) => Object.assign(job.training_config, { hyperparameters: { learnin_rate: '0.1' } }),
    path: 'training_config.hyperparameters.learnin_rate',
    says: /learning_rate/,
  },
  {
    mistake: 'a hyperparameter that is no number',
    make: (job) => Object.assign(job.training_config, { hyperparameters: { learning_rate: 'fast' } }),
    path: 'training_config.hyperparameters.learning_rate',
    says: /number/,
  },
  {
    mistake: 'a CUSTOM job without a script',
    make: (job) => Object.assign(job.training_config, { framework: { type: 'CUSTOM' } }),
    path: 'training_config.framework.custom_script_path',
    says: /required/,
  },
  {
    mistake: 'more GPUs than the cluster has',
    make: (job) => Object.assign(job.resource_config, { gpu_count: 64 }),
    path: 'resource_config.gpu_count',
    says: /64.*\b0\b|\b0\b.*64|no GPUs?/s,
  },
  {
    mistake: 'no data source',
    make: (job) => Object.assign(job.data_config, { sources: [] }),
    path: 'data_config.sources',
    says: /at least one|required/,
  },
  {
    mistake: 'a data file that does not exist',
    make: (job, { files }) => Object.assign(job.data_config, { sources: [{ path: join(files, 'absent.jsonl') }] }),
    path: 'data_config.sources[0].path',
    says: /absent\.jsonl/,
  },
  {
    mistake: 'a data path that leaves the roots by ..',
    make: (job, { files }) => Object.assign(job.data_config, { sources: [{ path: `${files}/../../../../../../etc/passwd` }] }),
    path: 'data_config.sources[0].path',
    says: /allowed|under|roots/,
  },
  {
    mistake: 'a data path that leaves the roots by a symbolic link',
    make: (job, { files }) => {
      const outside = join(stack.dataDir, 'outside.jsonl')
      writeFileSync(outside, records(5))
      const link = join(files, `link-${Math.random()}.jsonl`)
      symlinkSync(outside, link)
      Object.assign(job.data_config, { sources: [{ path: link }] })
    },
    path: 'data_config.sources[0].path',
    says: /allowed|under|roots/,
  },
  {
    mistake: 'a refused environment name',
    make: (job) => Object.assign(job.training_config, { environment: { LD_PRELOAD: '/tmp/x.so' } }),
    path: 'training_config.environment.LD_PRELOAD',
    says: /LD_PRELOAD/,
  },
  {
    mistake: 'code from the model',
    make: (job) => Object.assign(job.training_config, { base_model: { model_id: 'scaimind/byte-tiny', trust_remote_code: true } }),
    path: 'training_config.base_model.trust_remote_code',
    says: /operator|SCAIMIND_ALLOW_TRUST_REMOTE_CODE/,
  },
]

/** Wrong in its records only: a submission is refused for it, a plan tells it by its line. */
const wrongRecords: Mistake = {
  mistake: 'a data file without a usable record',
  make: (job, { file }) => {
    Object.assign(job.data_config, { sources: [{ path: file.call(tenant, 'bad.jsonl', '{"text": "fine"}\n{"text": \n') }] })
  },
  path: 'data_config.sources[0].path',
  says: /bad\.jsonl.*2|line 2/s,
}

const sound = (): Parts => ({
  name: 'refused',
  training_config: { training_type: 'LORA', base_model: { model_id: 'scaimind/byte-tiny' }, hyperparameters: { max_steps: '2' } },
  data_config: { sources: [{ path: tenant.file('good.jsonl', records(20)) }] },
  resource_config: { gpu_count: 0 },
})

/** What is tried at a door. The command line of a dry run is that of a submission, and starts a process for each: a few will do. */
function mistakesAt(door: string): Mistake[] {
  if (door === 'planJob' || door === 'REST with dry_run') return mistakes
  if (door === 'command line with --dry-run') return [...mistakes.filter((_, index) => index % 5 === 0), wrongRecords]
  return [...mistakes, wrongRecords]
}

describe.each(Object.entries({ ...doors, ...dryRunDoors }) as [string, Door][])('A submission through %s with', (name, door) => {
  it.each(mistakesAt(name))('$mistake is refused, naming $path', async ({ make, path, says }) => {
    keepOnFailure(stack)
    const submission = sound()
    make(submission, tenant)
    const refusal = await door(stack, tenant, submission)
    expect(refusal.paths).toContain(path)
    expect(refusal.text).toMatch(says)
    if (!name.startsWith('command line')) expect(refusal.code).toMatch(/^(VALIDATION_ERROR|INVALID_ARGUMENT)$/)
    expect(refusal.text).not.toMatch(/^\s+at .*\.[jt]s:\d+/m)
  })

  it('several mistakes names all of them at once', async () => {
    keepOnFailure(stack)
    const submission = sound()
    Object.assign(submission.training_config, { priority: 11 })
    Object.assign(submission.data_config, { validation_split: 1.5 })
    const { paths } = await door(stack, tenant, submission)
    expect(paths).toEqual(expect.arrayContaining(['training_config.priority', 'data_config.validation_split']))
  })
})

it('a data file without a usable record is no refusal of a plan, which names the line', async () => {
  keepOnFailure(stack)
  const submission = sound()
  wrongRecords.make(submission, tenant)
  const { body } = await tenant.rest('POST', '/jobs?dry_run=true', submission)
  const told = { acceptable: false, sources: [{ readable: true, records: 1, problems: [{ line: 2 }] }] }
  expect(body.data.plan).toMatchObject(told)
  const document = `query ($input: SubmitJobInput!) {
    planJob(input: $input) { ... on PlanJobSuccess { plan { acceptable sources { problems { line message } } } } }
  }`
  const { data } = await tenant.graphql<{ planJob: { plan: { acceptable: boolean; sources: { problems: { line: number }[] }[] } } }>(
    document,
    {
      input: toGraphQLInput(submission),
    },
  )
  expect(data.planJob.plan.acceptable).toBe(false)
  expect(data.planJob.plan.sources[0]?.problems.map(({ line }) => Number(line))).toEqual([2])
})

it.each([
  ['an unknown field', { colour: 'red' }],
  ['an unknown word', { training_config: { training_type: 'MAGIC', base_model: { model_id: 'scaimind/byte-tiny' } } }],
  ['a text where a map belongs', { resource_config: 'none' }],
])('on the command line a dry run refuses %s exactly as a submission does', async (_mistake, change) => {
  const submission = { ...sound(), ...change }
  const submitted = await doors['command line'](stack, tenant, submission)
  expect((await dryRunDoors['command line with --dry-run'](stack, tenant, submission)).text).toBe(submitted.text)
  expect(submitted.text).toMatch(/colour|training_config\.training_type|resource_config/)
})

it('nothing of a refused submission stays behind', async () => {
  const { jobs } = await tenant.data<{ jobs: { totalCount: number } }>('{ jobs { totalCount } }')
  expect(jobs.totalCount).toBe(0)
})
