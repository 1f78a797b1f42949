import { afterAll, afterEach, beforeAll, expect, it } from 'vitest'
import { newEvaluationId } from '../../../src/contract/ids.js'
import { type ApiUnderTest, eventually, startApiUnderTest } from '../../support/api.js'

let under: ApiUnderTest

beforeAll(async () => {
  under = await startApiUnderTest()
})
afterAll(() => under?.close())
afterEach(() => under.stub.refusals.clear())

const read = 'query ($id: ID!) { job(jobId: $id) { name lineage { nodes { id kind label contentHash at } edges { from to } } } }'

it('a job’s lineage leads from the job that it was resumed from to its evaluations', async () => {
  const tenant = await under.tenant()
  const parent = under.stub.addJob(tenant.id, { name: 'first', status: 'COMPLETED' })
  const theirs = { checkpoint_id: `ckpt_${parent.job_id}`, job_id: parent.job_id, attempt: 1, step: '40' }
  under.stub.checkpoints.set(parent.job_id, [theirs])
  const { job_id } = under.stub.addJob(tenant.id, {
    name: 'second',
    status: 'COMPLETED',
    training_config: {
      training_type: 'LORA',
      base_model: { model_id: 'scaimind/byte-tiny' },
      resume_from_checkpoint: theirs.checkpoint_id,
    },
    data_hashes: [{ path: 'a.jsonl', content_hash: 'sha256:a' }],
    attempts: [{ number: 1, cause: 'FIRST', from_checkpoint: theirs.checkpoint_id }],
    output: { kind: 'adapter', path: '/out', content_hash: 'sha256:o' },
  })
  under.stub.checkpoints.set(job_id, [{ checkpoint_id: `ckpt_${job_id}`, job_id, attempt: 1, step: '80' }])
  const evaluation = under.stub.addJob(tenant.id, {
    job_id: newEvaluationId(),
    name: 'score',
    labels: { type: 'evaluation' },
    evaluation: { job_id },
  })
  const labelled = '{ jobs(filter: { labels: [{ key: "type", value: "evaluation" }] }) { totalCount } }'
  await eventually(async () => (await tenant.graphql(labelled)).data.jobs.totalCount === 1)

  const { data, errors } = await tenant.graphql(read, { id: job_id })
  expect(errors).toBeUndefined()
  const { nodes, edges } = data.job.lineage
  expect(nodes.map(({ kind, label }: { kind: string; label: string }) => `${kind} ${label}`)).toEqual([
    'JOB second',
    'DATASET a.jsonl',
    'BASE_MODEL scaimind/byte-tiny',
    'ATTEMPT attempt 1',
    'CHECKPOINT step 80',
    'CHECKPOINT step 40',
    'JOB first',
    'ARTEFACT adapter',
    'EVALUATION score',
  ])
  expect(edges).toContainEqual({ from: parent.job_id, to: theirs.checkpoint_id })
  expect(edges).toContainEqual({ from: theirs.checkpoint_id, to: `${job_id}/attempts/1` })
  expect(edges).toContainEqual({ from: `${job_id}/output`, to: evaluation.job_id })
})

it('another tenant’s checkpoint is only a name in it', async () => {
  const [tenant, other] = [await under.tenant(), await under.tenant()]
  const theirs = under.stub.addJob(other.id, { name: 'secret' })
  under.stub.checkpoints.set(theirs.job_id, [{ checkpoint_id: 'ckpt_theirs', job_id: theirs.job_id, attempt: 1, step: '4' }])
  const { job_id } = under.stub.addJob(tenant.id, { training_config: { training_type: 'LORA', resume_from_checkpoint: 'ckpt_theirs' } })
  const { data } = await tenant.graphql(read, { id: job_id })
  expect(data.job.lineage.nodes).toContainEqual(expect.objectContaining({ id: 'ckpt_theirs', label: 'ckpt_theirs' }))
  expect(JSON.stringify(data)).not.toMatch(/secret|step 4/)
})

it('a job is still shown while its checkpoints cannot be asked for', async () => {
  const tenant = await under.tenant()
  const { job_id } = under.stub.addJob(tenant.id, { name: 'here' })
  await eventually(async () => (await tenant.graphql('{ jobs { totalCount } }')).data.jobs.totalCount === 1)
  under.stub.refusals.set('BatchListCheckpoints', { code: 'COORDINATOR_UNAVAILABLE', message: 'away' })
  const { data, errors } = await tenant.graphql(read, { id: job_id })
  expect(data.job).toEqual({ name: 'here', lineage: null })
  expect(errors?.[0]).toMatchObject({ path: ['job', 'lineage'], extensions: { code: 'COORDINATOR_UNAVAILABLE' } })
})
