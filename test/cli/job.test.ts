import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, describe, expect, it } from 'vitest'
import { scaimind } from './command.js'

// A server of our own, for what the real one does only by accident: lost connections and refusals. The flows run on the real one.
type Handler = (request: IncomingMessage, response: ServerResponse) => void

const folder = mkdtempSync(join(tmpdir(), 'scaimind-job-'))
const servers: ReturnType<typeof createServer>[] = []
afterEach(() => {
  for (const server of servers.splice(0)) {
    server.closeAllConnections()
    server.close()
  }
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

async function serve(routes: Record<string, Handler>): Promise<Record<string, string>> {
  const server = createServer((request, response) => {
    const path = new URL(request.url ?? '', 'http://x').pathname.replace('/v1/modules/scaimind', '')
    const handler = routes[`${request.method} ${path}`]
    if (handler) handler(request, response)
    else refuse(404, 'ROUTE_NOT_FOUND', `There is no ${path}.`)(request, response)
  }).listen(0, '127.0.0.1')
  servers.push(server)
  await once(server, 'listening')
  return { SCAIMIND_URL: `http://127.0.0.1:${(server.address() as AddressInfo).port}/graphql`, SCAIMIND_API_KEY: 'sgk_secret' }
}

const answer =
  (data: unknown): Handler =>
  (_request, response) =>
    response.end(JSON.stringify({ status: 'ok', data, meta: { request_id: 'req_1' } }))

const refuse =
  (status: number, code: string, message: string, details?: { field: string; message: string }[]): Handler =>
  (_request, response) => {
    response.statusCode = status
    response.end(JSON.stringify({ status: 'error', error: { code, message, details }, meta: { request_id: 'req_1' } }))
  }

/** A stream of messages that goes on after Last-Event-ID, and loses its connection after every second one. */
function unreliable(messages: { cursor: string }[]): Handler {
  return (request, response) => {
    const after = request.headers['last-event-id']
    const from = after === undefined ? 0 : messages.findIndex(({ cursor }) => cursor === after) + 1
    for (const message of messages.slice(from, from + 2)) response.write(`id: ${message.cursor}\ndata: ${JSON.stringify(message)}\n\n`)
    if (from + 2 < messages.length) setTimeout(() => response.destroy(), 20)
    else response.end('data: [DONE]\n\n')
  }
}

const job = { job_id: 'job_1', name: 'n', status: 'COMPLETED', output: { path: '/out', kind: 'adapter', registered_path: '/models/n@1f' } }
const logs = (count: number) =>
  Array.from({ length: count }, (_, i) => ({ cursor: `l${i}`, level: 'INFO', time: '', text: `line ${i}\u001b[2J` }))
const metrics = (count: number) => Array.from({ length: count }, (_, i) => ({ cursor: `m${i}`, step: i, time: '', values: { loss: 1 } }))

const streams = (last: typeof job): Record<string, Handler> => ({
  'GET /jobs/job_1': answer(last),
  'GET /jobs/job_1/events': unreliable([{ cursor: 'e1', job: { ...job, status: 'TRAINING' } } as { cursor: string }]),
  'GET /jobs/job_1/logs': unreliable(logs(7)),
  'GET /jobs/job_1/metrics/stream': unreliable(metrics(5)),
})

describe('watching a job', () => {
  it('shows every line once over lost connections, without the escapes in it', async () => {
    const env = await serve(streams(job))
    const { code, stdout } = await scaimind(['job', 'watch', 'job_1'], { env }).finished
    expect(code).toBe(0)
    expect(stdout.split('\n').slice(0, 7)).toEqual(['line 0', 'line 1', 'line 2', 'line 3', 'line 4', 'line 5', 'line 6'])
    expect(stdout).toContain('/out (adapter)')
    expect(stdout).toMatch(/Registered +\/models\/n@1f/)
  })

  it('tells every model that its output was registered as', async () => {
    const nodes = [
      { path: '/models/n@1f', checkpointStep: null },
      { path: '/models/n@0e', checkpointStep: '10' },
      { path: '/models/n-merged@2a', checkpointStep: null },
    ]
    const models: Handler = (_request, response) => response.end(JSON.stringify({ data: { registeredModels: { nodes } } }))
    const env = await serve({ ...streams(job), 'POST /graphql': models })
    const { stdout } = await scaimind(['job', 'watch', 'job_1'], { env }).finished
    expect(stdout).toMatch(/Registered +\/models\/n@1f\nRegistered +\/models\/n-merged@2a\n/)
    expect(stdout).not.toContain('n@0e')
  })

  it('exits with 1 when the job fails', async () => {
    const env = await serve(streams({ ...job, status: 'FAILED' }))
    const { code, stderr } = await scaimind(['job', 'watch', 'job_1'], { env }).finished
    expect(code).toBe(1)
    expect(stderr).toContain('The job job_1 is FAILED.')
  })

  it('stops at once at a refusal', async () => {
    const refused = refuse(404, 'JOB_NOT_FOUND', 'There is no job job_1.')
    const paths = ['/events', '/logs', '/metrics/stream'].map((stream) => `GET /jobs/job_1${stream}`)
    const env = await serve(Object.fromEntries(paths.map((path) => [path, refused])))
    const { code, stderr } = await scaimind(['job', 'watch', 'job_1'], { env }).finished
    expect({ code, stderr }).toEqual({ code: 1, stderr: 'There is no job job_1. (JOB_NOT_FOUND)\n' })
  })
})

describe('showing a job', () => {
  it('names the newest of its checkpoints, to start other jobs from', async () => {
    const checkpoints = [40, 30, 20, 10].map((step) => ({ checkpoint_id: `ckpt_${step}`, step: String(step) }))
    const env = await serve({ 'GET /jobs/job_1': answer(job), 'GET /jobs/job_1/checkpoints': answer({ checkpoints }) })
    const { stdout } = await scaimind(['job', 'show', 'job_1'], { env }).finished
    expect(stdout).toMatch(/Checkpoints +ckpt_40 at step 40\n +ckpt_30 at step 30\n +ckpt_20 at step 20\n +and 1 older\n$/)
  })

  it('works while the coordinator is away, without checkpoints', async () => {
    const away = refuse(503, 'COORDINATOR_UNAVAILABLE', 'It is away.')
    const env = await serve({ 'GET /jobs/job_1': answer(job), 'GET /jobs/job_1/checkpoints': away })
    expect(await scaimind(['job', 'show', 'job_1'], { env }).finished).toMatchObject({ code: 0, stdout: expect.stringContaining('job_1') })
  })
})

describe('submitting a job', () => {
  it('sends the file with its key, numbers of string maps as text, and the paths that are there as absolute ones', async () => {
    let sent: { body?: unknown; authorization?: string | undefined; key?: unknown } = {}
    const env = await serve({
      'POST /jobs': (request, response) => {
        let text = ''
        request.on('data', (chunk) => {
          text += chunk
        })
        request.on('end', () => {
          sent = { body: JSON.parse(text), authorization: request.headers.authorization, key: request.headers['idempotency-key'] }
          answer({ job_id: 'job_1', status: 'PENDING' })(request, response)
        })
      },
    })
    writeFileSync(join(folder, 'data.jsonl'), '{}\n')
    writeFileSync(
      join(folder, 'job.yaml'),
      'name: a\ntraining_config: { hyperparameters: { max_steps: 5 } }\ndata_config: { sources: [{ path: data.jsonl }, { path: elsewhere.jsonl }] }\n',
    )
    const { code, stdout } = await scaimind(['job', 'submit', '-f', join(folder, 'job.yaml'), '--idempotency-key', 'k1'], { env }).finished
    expect({ code, stdout }).toEqual({ code: 0, stdout: 'job_1 PENDING\n' })
    expect(sent).toEqual({
      authorization: 'Bearer sgk_secret',
      key: 'k1',
      body: {
        name: 'a',
        training_config: { hyperparameters: { max_steps: '5' } },
        data_config: { sources: [{ path: join(folder, 'data.jsonl') }, { path: 'elsewhere.jsonl' }] },
      },
    })
  })

  it('names every field that is wrong, and exits with 2', async () => {
    const env = await serve({
      'POST /jobs': refuse(422, 'VALIDATION_ERROR', 'Fields are wrong.', [
        { field: 'training_config.priority', message: 'must be 0 to 10' },
        { field: 'name', message: 'is required' },
      ]),
    })
    const { code, stderr } = await scaimind(['job', 'submit', '-f', '-'], { env, input: 'labels: {}' }).finished
    expect(code).toBe(2)
    expect(stderr).toBe('The input is not valid:\n  training_config.priority: must be 0 to 10\n  name: is required (VALIDATION_ERROR)\n')
  })
})

describe('a dry run', () => {
  const plan = {
    acceptable: true,
    sources: [{ path: 'a.jsonl', readable: true, problems: [] }],
    records: 3,
    tokens: 300,
    total_steps: 10,
    memory: [{ gpu_type: 'a100', bytes_needed: 90e9, bytes_available: 80e9, fits: false }],
    estimated_run_seconds: 7200,
    gpu_hours: 2,
    nodes: [],
    starts_now: false,
    estimated_start: '2026-11-21T09:00:00.000Z',
    jobs_ahead: 2,
    jobs_preempted: 1,
    reusable_job_id: '',
    blockers: [
      { kind: 'GPUS', of: 'a100', need: 4, have: 1 },
      { kind: 'JOBS_AHEAD', of: '', need: 2, have: 0 },
    ],
  }
  const run = async (plan: object, ...options: string[]) => {
    const asked: (string | undefined)[] = []
    const env = await serve({
      'POST /jobs': (request, response) => {
        asked.push(request.url)
        answer({ plan })(request, response)
      },
    })
    return { ...(await scaimind(['job', 'submit', '--dry-run', '-f', '-', ...options], { env, input: 'name: a' }).finished), asked }
  }

  it('says what the job would take, whether it fits, and what it would wait for, through the door of submissions', async () => {
    const { code, stdout, asked } = await run(plan)
    expect({ code, stdout }).toEqual({
      code: 0,
      stdout: `The job is valid: 3 records, about 300 tokens, 10 steps.
It needs 90.0 GB of the 80.0 GB of a GPU (a100), and does not fit.
It would train for about 2.0 h, 2.0 GPU hours.
It would wait for 2 jobs ahead of it, until about 2026-11-21T09:00:00.000Z.
1 running job of lower priority would give way to it.
  GPUS a100: 1 of 4
  JOBS_AHEAD: 2
`,
    })
    expect(asked).toEqual(['/v1/modules/scaimind/jobs?dry_run=true'])
  })

  it('names each line of data that is wrong, and exits with 2', async () => {
    const problems = [
      { line: 2, message: 'This is not JSON.' },
      { line: 0, message: 'The file is cut off.' },
    ]
    const sources = [...plan.sources, { path: 'b.jsonl', readable: true, problems }, { path: 'c.jsonl', readable: false, problems: [] }]
    const { code, stderr, stdout } = await run({ ...plan, acceptable: false, sources })
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' })
    expect(stderr).toBe(`The input is not valid:
  data_config.sources[1].path: b.jsonl, line 2: This is not JSON.
  data_config.sources[1].path: b.jsonl: The file is cut off.
  data_config.sources[2].path: c.jsonl cannot be read.
`)
  })

  it('prints the whole plan as JSON', async () => {
    expect(JSON.parse((await run(plan, '--json')).stdout)).toEqual(plan)
  })
})

it('pages are put together up to the limit', async () => {
  const page = (name: string, token: string) => ({ jobs: [{ ...job, name }], next_page_token: token, total_count: '3' })
  const env = await serve({
    'GET /jobs': (request, response) =>
      answer(request.url?.includes('page_token=t') ? page('second', 'u') : page('first', 't'))(request, response),
  })
  const { stdout } = await scaimind(['job', 'list', '--limit', '2'], { env }).finished
  expect(stdout).toMatch(/first\n.*second\n\(2 of 3; more with --limit\)\n$/s)
})

it('a key that was kept for one server is never sent to another', async () => {
  writeFileSync(join(folder, 'credentials.json'), JSON.stringify({ url: 'http://127.0.0.1:1', api_key: 'sgk_kept', api_secret: 's' }))
  const { code, stderr } = await scaimind(['job', 'list', '--server', 'http://127.0.0.1:2'], { env: { SCAIMIND_DATA_DIR: folder } })
    .finished
  expect(code).toBe(2)
  expect(stderr).toMatch(/^No API key for http:\/\/127\.0\.0\.1:2: /)
})
