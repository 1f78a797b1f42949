import { execFileSync } from 'node:child_process'
import { resolve } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { checkpointing } from './support/checkpointing.js'
import { scaimind } from './support/doors.js'
import { customInput, loraInput, records, submit, untilStatus } from './support/jobs.js'
import { keepOnFailure, type Stack, startStack } from './support/stack.js'
import type { Tenant } from './support/tenant.js'

let stack: Stack

beforeAll(async () => {
  stack = await startStack({ SCAIMIND_STOP_GRACE_SECONDS: '2' })
})
afterAll(async () => {
  await stack?.close()
})

async function completed(tenant: Tenant, script: string, more: { name: string; [key: string]: unknown }): Promise<string> {
  const id = await submit(tenant, customInput(tenant, script, more))
  await untilStatus(tenant, id, 'COMPLETED')
  return id
}
const waiting = (tenant: Tenant, name: string, labels: Record<string, string>) =>
  submit(tenant, {
    ...customInput(tenant, '', { name }),
    labels: Object.entries(labels).map(([key, value]) => ({ key, value })),
    schedulingConfig: { startAfter: '2100-01-01T00:00:00Z' },
  })

describe('Over the real coordinator', () => {
  it('a page of jobs shows metrics and checkpoints, and a job’s lineage begins with the job that it was resumed from', async () => {
    keepOnFailure(stack)
    const tenant = await stack.tenant()
    const parent = await completed(tenant, checkpointing([1, 2]), { name: 'parent' })
    type Page = {
      jobs: {
        nodes: {
          jobId: string
          latestMetrics: { name: string; step: number }[]
          checkpoints: { nodes: { checkpointId: string; step: number }[] }
        }[]
      }
    }
    const { jobs } = await tenant.data<Page>(
      '{ jobs { nodes { jobId latestMetrics { name step } checkpoints(first: 1) { nodes { checkpointId step } } } } }',
    )
    expect(jobs.nodes).toMatchObject([{ jobId: parent, latestMetrics: [{ name: 'loss', step: 2 }], checkpoints: { nodes: [{ step: 2 }] } }])
    const from = jobs.nodes[0]?.checkpoints.nodes[0]?.checkpointId ?? ''

    const input = customInput(tenant, checkpointing([3]), { name: 'child' })
    const child = await submit(tenant, { ...input, trainingConfig: { ...input.trainingConfig, resumeFromCheckpoint: from } })
    await untilStatus(tenant, child, 'COMPLETED')
    const { job } = await tenant.data<{
      job: { lineage: { nodes: { id: string; kind: string; contentHash: string | null }[]; edges: { from: string; to: string }[] } }
    }>('query ($id: ID!) { job(jobId: $id) { lineage { nodes { id kind contentHash } edges { from to } } } }', { id: child })
    expect(job.lineage.edges).toEqual(
      expect.arrayContaining([
        { from: parent, to: from },
        { from, to: `${child}/attempts/1` },
        { from: child, to: `${child}/attempts/1` },
      ]),
    )
    const data = job.lineage.nodes.find(({ kind }) => kind === 'DATASET')
    expect(data).toMatchObject({ id: data?.contentHash, contentHash: expect.stringMatching(/^sha256:[0-9a-f]{64}$/) })
  })

  it('work that was done before is answered, not done again, in GraphQL and on the command line', async () => {
    keepOnFailure(stack)
    const tenant = await stack.tenant()
    const done = await submit(tenant, loraInput(tenant, { steps: 2 }))
    await untilStatus(tenant, done, 'COMPLETED')
    const again = async (input: object, dryRun = false) => {
      const { submitJob } = await tenant.data<{ submitJob: unknown }>(
        `mutation ($input: SubmitJobInput!, $dryRun: Boolean) { submitJob(input: $input, reuse: true, dryRun: $dryRun) {
          ... on SubmitJobSuccess { reused message job { jobId status } plan { reusableJobId } } ... on Error { message } } }`,
        { input, dryRun },
      )
      return submitJob
    }
    const { trainingConfig, ...rest } = loraInput(tenant, { steps: 2, name: 'again' })
    const same = { ...rest, trainingConfig: { ...trainingConfig, hyperparameters: trainingConfig.hyperparameters.toReversed() } }
    expect(await again(same)).toMatchObject({ reused: true, job: { jobId: done, status: 'COMPLETED' }, plan: null })
    expect(await again(same, true)).toMatchObject({ reused: true, job: null, plan: { reusableJobId: done } })
    const other = { ...same, dataConfig: { ...same.dataConfig, seed: 8 }, schedulingConfig: { startAfter: '2096-01-01T00:00:00Z' } }
    expect(await again(other)).toMatchObject({ reused: false, message: expect.stringContaining('No finished job has done this work.') })

    const file = {
      name: 'again',
      training_config: {
        training_type: 'LORA',
        base_model: { model_id: 'scaimind/byte-tiny' },
        hyperparameters: { lora_r: 4, learning_rate: 1e-3, max_steps: 2 },
      },
      data_config: { sources: [{ path: tenant.file('copy.jsonl', records(40)) }], batch_size: 2, max_seq_length: 32, seed: 7 },
      resource_config: { gpu_count: 0 },
    }
    const path = tenant.file('again.yaml', JSON.stringify(file))
    const onCommandLine = (...words: string[]) => scaimind(stack, tenant, ['job', 'submit', '-f', path, ...words])
    const answered = await onCommandLine('--reuse')
    expect(answered).toMatchObject({ exitCode: 0, stdout: `${done} COMPLETED\n`, stderr: expect.stringContaining('done this work') })
    expect((await onCommandLine('--reuse', '--dry-run')).stdout).toBe(`Job ${done} has done this work already, and would be answered.\n`)
    expect((await onCommandLine('--dry-run')).stdout).toContain(
      `Job ${done} has done this work already; with --reuse it would be answered.\n`,
    )
  })

  it('a plan names each line of data that is wrong, in GraphQL and on the command line, and what is sound would be accepted', async () => {
    keepOnFailure(stack)
    const tenant = await stack.tenant()
    const planOf = async (path: string) => {
      const { planJob } = await tenant.data<{ planJob: { plan: Record<string, unknown> } }>(
        `query ($input: SubmitJobInput!) { planJob(input: $input) { ... on PlanJobSuccess { plan {
          acceptable records totalSteps startsNow nodes contentHash sources { problems { line } } memory { fits } } } ... on Error { message } } }`,
        { input: { ...loraInput(tenant, { steps: 12 }), dataConfig: { sources: [{ path }] } } },
      )
      return planJob.plan
    }
    const broken = tenant.file('broken.jsonl', `${records(8)}\n{"text": \n`)
    expect(await planOf(broken)).toMatchObject({ acceptable: false, sources: [{ problems: [{ line: 9 }] }] })
    const sound = tenant.file('sound.jsonl', records(8))
    const plan = await planOf(sound)
    expect(plan).toMatchObject({
      acceptable: true,
      records: 8,
      totalSteps: 12,
      startsNow: true,
      sources: [{ problems: [] }],
      memory: [{ fits: true }],
    })

    const job = (path: string) => ({
      name: 'dry',
      training_config: { training_type: 'LORA', base_model: { model_id: 'scaimind/byte-tiny' }, hyperparameters: { max_steps: '12' } },
      data_config: { sources: [{ path }] },
      resource_config: {},
    })
    const dryRun = (path: string) =>
      scaimind(stack, tenant, ['job', 'submit', '--dry-run', '-f', tenant.file('job.yaml', JSON.stringify(job(path)))])
    const refused = await dryRun(broken)
    expect({ exitCode: refused.exitCode, stdout: refused.stdout }).toEqual({ exitCode: 2, stdout: '' })
    expect(refused.stderr).toMatch(/data_config\.sources\[0\]\.path: .*broken\.jsonl, line 9: /)
    const accepted = await dryRun(sound)
    expect({ exitCode: accepted.exitCode, stderr: accepted.stderr }).toEqual({ exitCode: 0, stderr: '' })
    expect(accepted.stdout).toMatch(
      /^The job is valid: 8 records, about \d+ tokens, 12 steps\.\nIt needs .* GB of .*\n(It would train .*\n)?It would start at once on /,
    )
  })

  it('a job that waits says each thing that it lacks', async () => {
    keepOnFailure(stack)
    const tenant = await stack.tenant()
    const first = await waiting(tenant, 'first', {})
    const input = { ...customInput(tenant, '', { name: 'second' }), schedulingConfig: { dependsOn: [first] } }
    const second = await submit(tenant, input)
    type Waits = { job: { blockers: { kind: string; until: string | null; jobs: string[] }[] } }
    const blockers = async (id: string) =>
      (await tenant.data<Waits>('query ($id: ID!) { job(jobId: $id) { blockers { kind until jobs } } }', { id })).job.blockers
    expect(await blockers(first)).toEqual([{ kind: 'START_TIME', until: '2100-01-01T00:00:00.000Z', jobs: [] }])
    expect(await blockers(second)).toContainEqual(expect.objectContaining({ kind: 'DEPENDENCY', jobs: [first] }))
    for (const id of [second, first]) await tenant.data('mutation ($id: ID!) { cancelJob(jobId: $id) { __typename } }', { id })
    expect(await blockers(first)).toEqual([])
  })

  it('jobs side by side show which data they read and how their metrics went', async () => {
    keepOnFailure(stack)
    const tenant = await stack.tenant()
    const short = await completed(tenant, checkpointing([1]), { name: 'short' })
    const dataConfig = { sources: [{ path: tenant.file('other.txt', 'other text\n') }] }
    const long = await completed(tenant, checkpointing([1, 2]), { name: 'long', dataConfig })
    type Compared = {
      compareJobs: {
        dataHashes: { path: string }[]
        code: { path: string }[]
        metrics: { name: string; steps: number[]; values: number[][] }[]
      }
    }
    const { compareJobs } = await tenant.data<Compared>(
      'query ($ids: [ID!]!) { compareJobs(jobIds: $ids, metrics: ["loss"]) { dataHashes { path } code { path } metrics { name steps values } } }',
      { ids: [short, long] },
    )
    expect(compareJobs.dataHashes.map(({ path }) => path)).toContain('dataHashes[0].contentHash')
    expect(compareJobs.code.map(({ path }) => path)).toContain('code.contentHash')
    expect(compareJobs.metrics).toEqual([
      {
        name: 'loss',
        steps: [1, 2],
        values: [
          [1, null],
          [1, 0.5],
        ],
      },
    ])
  })

  it('log lines are found by pattern, and a pattern that cannot be read is refused by its name', async () => {
    keepOnFailure(stack)
    const tenant = await stack.tenant()
    const script = `for (let i = 0; i < 3000; i++) console.log(i === 2990 ? 'CUDA error: out of memory' : 'step ' + i)`
    const id = await completed(tenant, script, { name: 'talks' })
    type Read = { job: { logs: { nodes: { text: string; attempt: number }[]; pageInfo: { hasNextPage: boolean } } | null } }
    const read = (args: string) =>
      tenant.graphql<Read>(`query ($id: ID!) { job(jobId: $id) { logs(${args}) { nodes { text attempt } pageInfo { hasNextPage } } } }`, {
        id,
      })
    const { data } = await read('pattern: "(?i)cuda.*memory", attempt: 1')
    expect(data.job.logs).toEqual({ nodes: [{ text: 'CUDA error: out of memory', attempt: 1 }], pageInfo: { hasNextPage: false } })
    expect((await read('attempt: 2')).data.job.logs?.nodes).toEqual([])
    expect((await read('until: "2020-01-01T00:00:00Z"')).data.job.logs?.nodes).toEqual([])
    const { errors } = await read('pattern: "(a"')
    expect(errors?.[0]?.extensions).toMatchObject({ code: 'INVALID_ARGUMENT', fields: [{ path: 'pattern' }] })
  })

  it('a log is read back from its end to its first line', async () => {
    keepOnFailure(stack)
    const tenant = await stack.tenant()
    const id = await completed(tenant, `for (let i = 0; i < 25; i++) console.log('line ' + i)`, { name: 'talks' })
    const query = `query ($id: ID!, $before: String) {
      job(jobId: $id) { logs(last: 10, before: $before, pattern: "^line") { nodes { text } pageInfo { hasPreviousPage startCursor } } } }`
    const pages: string[][] = []
    type Read = { job: { logs: { nodes: { text: string }[]; pageInfo: { hasPreviousPage: boolean; startCursor: string } } } }
    for (let before: string | null = null, more = true; more; ) {
      const { logs }: Read['job'] = (await tenant.graphql<Read>(query, { id, before })).data.job
      pages.push(logs.nodes.map(({ text }) => text))
      before = logs.pageInfo.startCursor
      more = logs.pageInfo.hasPreviousPage
    }
    expect(pages.toReversed().flat()).toEqual(Array.from({ length: 25 }, (_, i) => `line ${i}`))
    expect(pages.map(({ length }) => length)).toEqual([10, 10, 5])
  })

  it('a model is registered, served by its command, evaluated and trained on by its name', async () => {
    keepOnFailure(stack)
    const tenant = await stack.tenant()
    const outputConfig = { registerAs: 'sums', mergeAdapter: true }
    const id = await submit(tenant, loraInput(tenant, { steps: 2, name: 'registered', outputConfig }))
    await untilStatus(tenant, id, 'COMPLETED')
    type Model = { name: string; contentHash: string; path: string; serveCommands: { server: string; command: string }[] }
    const { registeredModels, job } = await tenant.data<{
      registeredModels: { totalCount: number; nodes: Model[] }
      job: { output: { registeredPath: string; registered: Model } }
    }>(
      `query ($id: ID!) {
        registeredModels(filter: { jobId: $id, currentOnly: true }) { totalCount nodes { name contentHash path serveCommands { server command } } }
        job(jobId: $id) { output { registeredPath registered { name contentHash path serveCommands { server command } } } }
      }`,
      { id },
    )
    const [merged, adapter] = registeredModels.nodes
    expect([registeredModels.totalCount, merged?.name, adapter?.name]).toEqual([2, 'sums-merged', 'sums'])
    expect(job.output).toEqual({ registeredPath: merged?.path, registered: merged })
    for (const model of registeredModels.nodes) {
      const [{ server, command } = { server: '', command: '' }] = model.serveCommands
      const text = execFileSync('sh', ['-c', `${command} --max-tokens 4`], { cwd: resolve(import.meta.dirname, '..'), encoding: 'utf8' })
      expect([server, text.length > 0]).toEqual(['SCAIMIND', true])
    }

    const nameOf = (model: Model | undefined) => `models/${model?.name}@${model?.contentHash.slice(7, 19)}`
    const { it } = await tenant.data<{ it: { evaluation?: { evaluationId: string }; fields?: unknown } }>(
      `mutation ($input: SubmitEvaluationInput!) { it: submitEvaluation(input: $input) {
        ... on SubmitEvaluationSuccess { evaluation { evaluationId } } ... on InvalidInput { fields { path message } }
      } }`,
      {
        input: {
          modelUri: nameOf(adapter),
          benchmarks: [{ name: 'perplexity', dataset: tenant.file('train.jsonl', records(40)), numSamples: 2 }],
        },
      },
    )
    expect(it.fields).toBeUndefined()
    const input = loraInput(tenant, { steps: 1, name: 'further' })
    const modelId = nameOf(merged)
    const further = await submit(tenant, { ...input, trainingConfig: { ...input.trainingConfig, baseModel: { modelId } } })
    await Promise.all([untilStatus(tenant, further, 'COMPLETED'), untilStatus(tenant, it.evaluation?.evaluationId ?? '', 'COMPLETED')])
  })

  it('many jobs are relabelled and cancelled at once', async () => {
    keepOnFailure(stack)
    const tenant = await stack.tenant()
    const ids = [await waiting(tenant, 'one', { sweep: 'a', old: 'x' }), await waiting(tenant, 'two', { sweep: 'a' })]
    const other = await waiting(tenant, 'three', { sweep: 'b' })
    type Answer = { it: { matched: number; results: { jobId: string; job: Record<string, unknown>; error: null }[] } }
    const update = await tenant.data<Answer>(`mutation { it: updateJobs(filter: { labels: [{ key: "sweep", value: "a" }] }, priority: 8,
      addLabels: [{ key: "new", value: "y" }], removeLabels: ["old"]) { ... on UpdateJobsSuccess { matched results { jobId job { labelsJson } error { code } } } } }`)
    expect(update.it.matched).toBe(2)
    for (const { job, error } of update.it.results)
      expect({ job, error }).toEqual({ job: { labelsJson: { sweep: 'a', new: 'y' } }, error: null })
    const cancel = await tenant.data<Answer>(`mutation { it: cancelJobs(filter: { labels: [{ key: "new", value: "y" }] }) {
      ... on CancelJobsSuccess { matched results { jobId job { status } error { code } } } } }`)
    expect(cancel.it.results.map(({ jobId }) => jobId).sort()).toEqual(ids.sort())
    expect(new Set(cancel.it.results.map(({ job }) => job.status))).toEqual(new Set(['CANCELLED']))
    const { job } = await tenant.data<{ job: { status: string } }>('query ($id: ID!) { job(jobId: $id) { status } }', { id: other })
    expect(job.status).toBe('QUEUED')
    await tenant.data('mutation ($id: ID!) { cancelJob(jobId: $id) { __typename } }', { id: other })
  })

  it('an archived job leaves the lists, and retention deletes it after saying so', async () => {
    keepOnFailure(stack)
    const tenant = await stack.tenant()
    const id = await completed(tenant, checkpointing([1]), { name: 'over' })
    const kept = await completed(tenant, '', { name: 'kept' })
    const { archiveJob } = await tenant.data<{ archiveJob: { job: { archivedAt: string; availableActions: string[] } } }>(
      'mutation ($id: ID!) { archiveJob(jobId: $id) { ... on ArchiveJobSuccess { job { archivedAt availableActions } } } }',
      { id },
    )
    expect(Date.parse(archiveJob.job.archivedAt)).toBeGreaterThan(0)
    const list = async () => (await tenant.data<{ jobs: { nodes: { jobId: string }[] } }>('{ jobs { nodes { jobId } } }')).jobs.nodes
    expect(await list()).toEqual([{ jobId: kept }])
    type Plan = { retentionPlan: { planId: string; bytes: number; items: { jobId: string }[] } }
    const { retentionPlan } = await tenant.data<Plan>(
      '{ retentionPlan(policy: { scope: JOBS, olderThanDays: 0 }) { planId bytes items { jobId } } }',
    )
    expect(retentionPlan.items).toEqual([{ jobId: id }])
    expect(retentionPlan.bytes).toBeGreaterThan(1000)
    type Applied = { applyRetention: { bytes: number; items: { jobId: string; kept: string | null }[] } }
    const { applyRetention } = await tenant.data<Applied>(
      'mutation ($id: ID!) { applyRetention(planId: $id) { ... on ApplyRetentionSuccess { bytes items { jobId kept } } } }',
      { id: retentionPlan.planId },
    )
    expect(applyRetention.items).toEqual([{ jobId: id, kept: null }])
    const { errors } = await tenant.graphql('query ($id: ID!) { job(jobId: $id) { jobId } }', { id })
    expect(errors?.[0]?.extensions.code).toBe('JOB_NOT_FOUND')
    expect(await list()).toEqual([{ jobId: kept }])
  })
})
