import { hostname } from 'node:os'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { chunksOf, readFrames, type SseFrame } from '../../src/cli/job/sse.js'
import { expectDocumentedAnswer, expectDocumentedBody, expectDocumentedFrame } from '../support/documented.js'
import { records } from '../support/jobs.js'
import { keepOnFailure, type Stack, startStack } from '../support/stack.js'
import type { RestAnswer, Tenant } from '../support/tenant.js'

const node = hostname()
const missingJob = 'job_00000000000000000000000000'

let stack: Stack
let tenant: Tenant
let jobId: string

/** Every answer is held to the OpenAPI document, field by field, and so is every body that is accepted. */
async function call(method: string, path: string, body?: unknown, headers: Record<string, string> = {}): Promise<RestAnswer> {
  const answer = await tenant.rest(method, path, body, headers)
  expectDocumentedAnswer(method, path, answer.status, answer.body)
  expect(answer.headers.get('x-request-id')).toBe(answer.body.meta.request_id)
  if (body !== undefined && answer.status < 300) expectDocumentedBody(path, body)
  return answer
}

async function frames(path: string, headers: Record<string, string> = {}): Promise<SseFrame[]> {
  const response = await fetch(`http://127.0.0.1:${stack.api.port}/v1/modules/scaimind${path}`, {
    headers: { authorization: `Bearer ${tenant.key}`, accept: 'text/event-stream', ...headers },
  })
  expect([response.status, response.headers.get('content-type')]).toEqual([200, 'text/event-stream'])
  if (!response.body) throw new Error('There is no body.')
  const read: SseFrame[] = []
  for await (const frame of readFrames(chunksOf(response.body))) {
    read.push(frame)
    if (frame.data !== '[DONE]' && !frame.event) expectDocumentedFrame(path, JSON.parse(frame.data))
  }
  return read
}

const until = async (id: string, ...statuses: string[]) => {
  for await (const { jobUpdated } of tenant.subscribe<{ jobUpdated: { job: { status: string } } }>(
    'subscription ($id: ID!) { jobUpdated(jobId: $id) { job { status } } }',
    { id },
  ))
    if (statuses.includes(jobUpdated.job.status)) return
  throw new Error(`${id} never was ${statuses.join(' or ')}.`)
}

/** The smallest submission with every field of the contract that this coordinator acts on. */
const submission = (more: object = {}) => ({
  name: 'contract',
  labels: { team: 'search' },
  training_config: {
    training_type: 'LORA',
    base_model: { model_id: 'scaimind/byte-tiny' },
    framework: { type: 'HF_TRAINER' },
    hyperparameters: { max_steps: '4', learning_rate: '0.001', lora_r: '4' },
    environment: { SECRET: 'hidden' },
    max_retries: 1,
    priority: 6,
  },
  data_config: {
    sources: [{ path: tenant.file('train.jsonl', records(30)), format: 'jsonl' }],
    max_seq_length: 48,
    batch_size: 2,
    gradient_accumulation_steps: 1,
    validation_split: 0.2,
    seed: 7,
  },
  resource_config: { gpu_count: 0, num_nodes: 1, cpus_per_node: 1 },
  output_config: { save_strategy: 'STEPS', save_steps: 2 },
  scheduling_config: { queue: 'default', requeue_on_preemption: true, max_runtime_seconds: 600 },
  ...more,
})

const custom = (script: string, more: object = {}) => {
  const path = tenant.file(`script-${Math.random().toString(36).slice(2)}.mjs`, script)
  const training_config = {
    training_type: 'SFT',
    base_model: { model_id: 'scaimind/byte-tiny' },
    framework: { type: 'CUSTOM', custom_script_path: path },
  }
  return {
    name: 'custom',
    training_config,
    data_config: { sources: [{ path: tenant.file('a.txt', 'text\n') }] },
    resource_config: {},
    ...more,
  }
}

/** Saves on SIGTERM, as a trainer that can be paused does. */
const pausable = `import { appendFileSync } from 'node:fs'
const tell = (event) => appendFileSync('events.jsonl', JSON.stringify({ time: new Date().toISOString(), ...event }) + '\\n')
process.on('SIGTERM', () => process.exit(85))
tell({ type: 'ready', signals: ['TERM'], pid: process.pid })
tell({ type: 'phase', phase: 'TRAINING' })
setInterval(() => {}, 1000)`

beforeAll(async () => {
  stack = await startStack()
  tenant = await stack.tenant()
  const { status, body } = await call('POST', '/jobs', submission())
  expect([status, body.data.status]).toEqual([201, 'QUEUED'])
  jobId = body.data.job_id
  await until(jobId, 'COMPLETED')
})
afterAll(async () => {
  await stack?.close()
})

describe('Jobs', () => {
  it('POST /jobs: 201 with id, status, message and wait; a repeat under its key answers the first', async () => {
    keepOnFailure(stack)
    const body = submission({ name: 'once' })
    const first = await call('POST', '/jobs', body, { 'idempotency-key': 'contract-1' })
    expect(first.status).toBe(201)
    expect(first.body.data).toEqual({
      job_id: expect.stringMatching(/^job_/),
      status: expect.any(String),
      message: expect.any(String),
      estimated_wait_seconds: 0,
    })
    const again = await call('POST', '/jobs', body, { 'idempotency-key': 'contract-1' })
    expect(again.body.data).toEqual(first.body.data)
    const other = await call('POST', '/jobs', { ...body, name: 'other' }, { 'idempotency-key': 'contract-1' })
    expect([other.status, other.body.error.code]).toEqual([409, 'IDEMPOTENCY_CONFLICT'])
    await call('POST', `/jobs/${first.body.data.job_id}/cancel`)
  })

  it('POST /jobs?reuse=true: 200 with a finished job that has done the same work, in whatever order its fields come; else 201', async () => {
    keepOnFailure(stack)
    const again = (steps: string) => {
      const { training_config: training, data_config, ...rest } = submission({ name: 'again' })
      const { hyperparameters, ...others } = training
      const values = Object.entries({ ...hyperparameters, max_steps: steps }).reverse()
      return { data_config, ...rest, training_config: { hyperparameters: Object.fromEntries(values), ...others } }
    }
    const { status, body } = await call('POST', '/jobs?reuse=true', again('4.0'))
    expect([status, body.data]).toEqual([
      200,
      { job_id: jobId, status: 'COMPLETED', message: expect.stringContaining(jobId), estimated_wait_seconds: null, reused: true },
    ])
    const other = await call('POST', '/jobs?reuse=true', again('5'))
    expect([other.status, other.body.data.reused]).toEqual([201, false])
    await call('POST', `/jobs/${other.body.data.job_id}/cancel`)
  })

  it('POST /jobs?dry_run=true: the plan, and nothing stored', async () => {
    const { status, body } = await call('POST', '/jobs?dry_run=true', submission({ name: 'planned' }))
    expect(status).toBe(200)
    expect(body.data.plan).toMatchObject({ acceptable: true, records: 30, total_steps: 4, starts_now: true, blockers: [] })
    expect(body.data.plan.sources[0]).toMatchObject({ readable: true, records: 30, problems: [] })
    const listed = await call('GET', '/jobs')
    expect(listed.body.data.jobs.map(({ name }: { name: string }) => name)).not.toContain('planned')
  })

  it('GET /jobs: by status, type and label, in pages and in order', async () => {
    const { body } = await call('GET', '/jobs?status=COMPLETED&training_type=LORA&label.team=search&page_size=1&order_by=created_at')
    expect(body.data).toMatchObject({ jobs: [{ job_id: jobId }], next_page_token: '', total_count: 1 })
    const wrong = await call('GET', '/jobs?status=DONE&colour=red')
    expect([wrong.status, wrong.body.error.details.map(({ field }: { field: string }) => field)]).toEqual([422, ['status', 'colour']])
  })

  it('GET /jobs/{job_id}: the full state; environment values are never read', async () => {
    const { body } = await call('GET', `/jobs/${jobId}`)
    expect(body.data).toMatchObject({
      job_id: jobId,
      status: 'COMPLETED',
      training_config: { environment: { SECRET: '***' }, priority: 6 },
      output: { kind: 'adapter', content_hash: expect.stringMatching(/^sha256:/) },
      content_hash: expect.stringMatching(/^sha256:/),
      data_hashes: [{ records: 30 }],
      code: { trainer: 'embedded' },
    })
    expect(body.data.final_evaluation.tuned.perplexity).toBeGreaterThan(1)
    const missing = await call('GET', `/jobs/${missingJob}`)
    expect([missing.status, missing.body.error.code]).toEqual([404, 'JOB_NOT_FOUND'])
  })

  it('cancel, pause, resume and retry: 200 with the job, 409 with the states it is possible from', async () => {
    keepOnFailure(stack)
    const { body: accepted } = await call('POST', '/jobs', custom(pausable))
    const id = accepted.data.job_id
    await until(id, 'TRAINING')
    expect((await call('POST', `/jobs/${id}/pause`, { save_checkpoint: false })).body.data).toMatchObject({ job_id: id, wanted: 'PAUSE' })
    await until(id, 'PAUSED')
    expect((await call('POST', `/jobs/${id}/resume`, {})).body.data).toMatchObject({ job_id: id, wanted: 'RUN' })
    await until(id, 'TRAINING')
    expect((await call('POST', `/jobs/${id}/cancel`, { reason: 'enough', save_checkpoint: false })).status).toBe(200)
    await until(id, 'CANCELLED')
    expect((await call('POST', `/jobs/${id}/retry`, {}, { 'idempotency-key': 'retry-1' })).body.data.attempts).toHaveLength(2)
    await call('POST', `/jobs/${id}/cancel`)
    const conflict = await call('POST', `/jobs/${jobId}/pause`)
    expect([conflict.status, conflict.body.error.code]).toEqual([409, 'JOB_STATE_CONFLICT'])
    expect(conflict.body.error.details).toEqual([
      { field: 'state', message: 'COMPLETED' },
      { field: 'allowed_from', message: 'TRAINING CHECKPOINTING' },
    ])
    const noCheckpoint = await call('POST', `/jobs/${id}/retry`, { from_checkpoint: 'ckpt_x' })
    expect([noCheckpoint.status, noCheckpoint.body.error.code]).toEqual([404, 'CHECKPOINT_NOT_FOUND'])
  })

  it('metrics: the newest of each, or the history of some', async () => {
    const { body } = await call('GET', `/jobs/${jobId}/metrics`)
    expect(body.data).toMatchObject({ step: 4, attempt: 1, values: { loss: expect.any(Number), learning_rate: expect.any(Number) } })
    const history = await call('GET', `/jobs/${jobId}/metrics?names=loss&since_step=1&max_points=10`)
    expect(history.body.data.series).toMatchObject([{ name: 'loss', points: [{ step: 2 }, { step: 3 }, { step: 4 }] }])
  })

  it('checkpoints and events', async () => {
    const { body } = await call('GET', `/jobs/${jobId}/checkpoints`)
    expect(body.data.checkpoints.map(({ step }: { step: number }) => step)).toEqual([4, 2])
    const events = await call('GET', `/jobs/${jobId}/events`)
    expect(events.body.data.events.at(-1)).toMatchObject({ type: 'STATUS_CHANGED', to_status: 'COMPLETED' })
  })

  it.each([
    ['metrics/stream', 'metrics/stream'],
    ['logs', 'logs?follow=true&level=INFO'],
    ['events', 'events'],
  ])('%s: a frame a record under its cursor, [DONE] at the end, and on from Last-Event-ID', async (_what, path) => {
    const all = await frames(`/jobs/${jobId}/${path}`)
    expect(all.at(-1)?.data).toBe('[DONE]')
    const ids = all.slice(0, -1).map(({ id }) => id)
    expect(ids.length).toBeGreaterThan(2)
    expect(new Set(ids).size).toBe(ids.length)
    const rest = await frames(`/jobs/${jobId}/${path}`, { 'last-event-id': ids[1] ?? '' })
    expect(rest.slice(0, -1).map(({ id }) => id)).toEqual(ids.slice(2))
    const foreign = await tenant.rest('GET', `/jobs/${jobId}/${path}`, undefined, { accept: 'text/event-stream', 'last-event-id': 'x' })
    expect([foreign.status, foreign.body.error.code]).toEqual([400, 'CURSOR_INVALID'])
  })
})

describe('Evaluations', () => {
  it('are submitted, read, listed and cancelled', async () => {
    keepOnFailure(stack)
    const dataset = tenant.file('held-out.jsonl', records(3))
    const body = { job_id: jobId, benchmarks: [{ name: 'perplexity', dataset, num_samples: 2, parameters: {} }] }
    const { status, body: accepted } = await call('POST', '/evaluations', body, { 'idempotency-key': 'evaluation-1' })
    expect([status, accepted.data.status]).toEqual([201, 'QUEUED'])
    const id = accepted.data.evaluation_id
    expect((await call('POST', '/evaluations', body, { 'idempotency-key': 'evaluation-1' })).body.data.evaluation_id).toBe(id)
    await until(id, 'COMPLETED')
    const { body: read } = await call('GET', `/evaluations/${id}`)
    expect(read.data).toMatchObject({
      job_id: jobId,
      results: [{ name: 'perplexity', num_samples: 2, scores: { perplexity: expect.any(Number) } }],
    })
    const { body: listed } = await call('GET', `/evaluations?job_id=${jobId}&status=COMPLETED`)
    expect(listed.data).toMatchObject({ evaluations: [{ evaluation_id: id }], total_count: 1 })
    // The documented listing: jobs by the label that only evaluations have.
    const { body: asJobs } = await call('GET', '/jobs?label.type=evaluation')
    expect(asJobs.data.jobs.map((job: { job_id: string }) => job.job_id)).toContain(id)
    const conflict = await call('POST', `/evaluations/${id}/cancel`, { reason: 'late' })
    expect([conflict.status, conflict.body.error.code]).toEqual([409, 'JOB_STATE_CONFLICT'])
    const missing = await call('GET', '/evaluations/eval_00000000000000000000000000')
    expect([missing.status, missing.body.error.code]).toEqual([404, 'EVALUATION_NOT_FOUND'])
    const wrong = await call('POST', '/evaluations', { job_id: jobId, benchmarks: [{ name: 'mmlu', dataset }] })
    expect([wrong.status, wrong.body.error.details[0].field]).toEqual([400, 'benchmarks[0].name'])
  })

  it('users cannot set the label that makes a job one', async () => {
    const { status, body } = await call('POST', '/jobs', submission({ labels: { type: 'evaluation' } }))
    expect([status, body.error.code]).toEqual([422, 'VALIDATION_ERROR'])
  })
})

describe('The cluster', () => {
  it('totals, nodes, queue', async () => {
    expect((await call('GET', '/cluster')).body.data).toMatchObject({ nodes_total: 1, engine: 'local' })
    expect((await call('GET', '/nodes')).body.data.nodes).toMatchObject([{ node_id: node, status: 'ONLINE' }])
    expect((await call('GET', `/nodes/${node}`)).body.data.node_id).toBe(node)
    const missing = await call('GET', '/nodes/nowhere')
    expect([missing.status, missing.body.error.code]).toEqual([404, 'NODE_NOT_FOUND'])
    expect((await call('GET', '/queue')).body.data).toMatchObject({ depth: 0, depths: [], entries: [] })
  })

  it('a node is drained, a job waits for it and says so, and it is enabled', async () => {
    keepOnFailure(stack)
    expect((await call('POST', `/nodes/${node}/drain`, { dry_run: true })).body.data).toMatchObject({
      node: { node_id: node, status: 'ONLINE', cordoned: false, evidence: [] },
      gpu_minutes_lost_with_checkpoints: 0,
      free_at_if_evicted: expect.any(String),
    })
    expect((await call('POST', `/nodes/${node}/drain`, { reason: 'fans', deadline_seconds: 0, evict: false })).body.data).toMatchObject({
      status: 'DRAINING',
      reason: 'fans',
    })
    const { body } = await call('POST', '/jobs', custom('console.log(1)'))
    const id = body.data.job_id
    const { body: queue } = await call('GET', '/queue')
    expect(queue.data.entries[0]).toMatchObject({ job_id: id, position: 1, blockers: [{ kind: 'DRAINING', of: node }] })
    const { body: waiting } = await call('GET', `/jobs/${id}`)
    expect(waiting.data).toMatchObject({ status: 'QUEUED', queue_position: 1, blockers: [{ kind: 'DRAINING' }] })
    expect((await call('POST', `/nodes/${node}/enable`)).body.data.status).toBe('ONLINE')
    await until(id, 'COMPLETED')
  })
})

describe('Data', () => {
  it('sources are validated with line numbers', async () => {
    const path = tenant.file('mixed.jsonl', '{"text": "fine"}\n{"text": \n')
    const { body } = await call('POST', '/data/validate', { sources: [{ path }], training_type: 'SFT', preprocess: { add_bos: true } })
    expect(body.data.sources[0]).toMatchObject({ path, readable: true, records: 1, sample: 'fine', problems: [{ line: 2 }] })
  })

  it('a data set is uploaded, found, copied and evicted; a job is trained on it', async () => {
    keepOnFailure(stack)
    const send = async (name: string, content: string) => {
      const response = await fetch(`http://127.0.0.1:${stack.api.port}/v1/modules/scaimind/datasets?name=${name}`, {
        method: 'POST',
        headers: { authorization: `Bearer ${tenant.key}`, 'content-type': 'application/x-ndjson' },
        body: content,
      })
      const body = await response.json()
      expectDocumentedAnswer('POST', '/datasets', response.status, body)
      return { status: response.status, body }
    }
    const { status, body } = await send('mine.jsonl', records(20))
    expect(status).toBe(201)
    const id = body.data.dataset_id
    expect((await send('again.jsonl', records(20))).body.data.dataset_id).toBe(id)
    const bad = await send('bad.jsonl', '{"text": "fine"}\n{"title": "x"}\n')
    expect([bad.status, bad.body.error.code, bad.body.error.details[0].message]).toEqual([
      400,
      'INVALID_ARGUMENT',
      expect.stringMatching(/^Line 2/),
    ])
    expect((await call('GET', '/datasets')).body.data).toMatchObject({ datasets: [{ dataset_id: id }], total_count: 1 })
    expect((await call('GET', `/datasets/${id}`)).body.data).toMatchObject({ records: 20, format: 'jsonl' })
    expect((await call('POST', `/data/cache/${id}`, { nodes: [node], pin: true })).body.data).toMatchObject({ nodes: [node], pinned: true })
    expect((await call('GET', '/data/cache')).body.data.datasets).toMatchObject([{ dataset_id: id, pinned: true }])
    const onIt = submission({ name: 'on uploaded data' })
    const { body: accepted } = await call('POST', '/jobs', {
      ...onIt,
      data_config: { ...onIt.data_config, sources: [{ type: 'dataset', path: id }] },
    })
    await until(accepted.data.job_id, 'COMPLETED')
    expect((await call('GET', `/jobs/${accepted.data.job_id}`)).body.data.data_hashes).toMatchObject([{ dataset_id: id, records: 20 }])
    expect((await call('DELETE', `/data/cache/${id}`)).body.data.bytes_freed).toBeGreaterThan(100)
    const missing = await call('GET', '/datasets/ds_00000000000000000000000000')
    expect([missing.status, missing.body.error.code]).toEqual([404, 'DATASET_NOT_FOUND'])
  })
})

describe('Beside the routes', () => {
  it('a path that is not there and a method that is not allowed are told in the envelope', async () => {
    const nowhere = await call('GET', '/nowhere')
    expect([nowhere.status, nowhere.body.error.code]).toEqual([404, 'ROUTE_NOT_FOUND'])
    const wrong = await call('DELETE', `/jobs/${jobId}`)
    expect([wrong.status, wrong.body.error.code, wrong.headers.get('allow')]).toEqual([405, 'METHOD_NOT_ALLOWED', 'GET'])
  })

  it('health and metrics need no key', async () => {
    for (const base of ['', '/v1/modules/scaimind']) {
      const health = await fetch(`http://127.0.0.1:${stack.api.port}${base}/health`)
      expect([health.status, (await health.json()).status]).toEqual([200, 'ok'])
      expect(await (await fetch(`http://127.0.0.1:${stack.api.port}${base}/metrics`)).text()).toMatch(/^# HELP /)
    }
  })
})
