import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Job__Output } from '../../../src/generated/proto/scaimind/v1/Job.js'
import type { ListCheckpointsResponse__Output } from '../../../src/generated/proto/scaimind/v1/ListCheckpointsResponse.js'
import { type CoordinatorTenant, keepOnFailure, startTestCoordinator, type TestCoordinator } from '../../support/coordinator.js'

let coordinator: TestCoordinator
let tenant: CoordinatorTenant

beforeAll(async () => {
  coordinator = await startTestCoordinator({ SCAIMIND_CPU_SLOTS: '8' })
  tenant = coordinator.tenant()
})
afterAll(async () => {
  await coordinator?.close()
})

/** Trains until it is told to stop, then saves a checkpoint unless told not to; from a checkpoint it ends at once. */
const patient = `
import { appendFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
const tell = (event) => appendFileSync('events.jsonl', JSON.stringify({ time: new Date().toISOString(), ...event }) + '\\n')
const { resume_from } = JSON.parse(readFileSync('job.json', 'utf8'))
process.on('SIGTERM', () => {
  const save = !existsSync('stop.json') || JSON.parse(readFileSync('stop.json', 'utf8')).save_checkpoint
  if (save) {
    mkdirSync('checkpoints/step-7', { recursive: true })
    writeFileSync('checkpoints/step-7/manifest.json', '{}')
    tell({ type: 'checkpoint', checkpoint_id: 'step-7', step: 7, path: 'checkpoints/step-7', bytes: 2, metrics: { loss: 0.5 } })
  }
  process.exit(85)
})
tell({ type: 'progress', step: resume_from ? 7 : 0, total_steps: 10 })
console.log('from ' + resume_from)
if (!resume_from) setInterval(() => {}, 1000)
`
const fails = 'console.error("ValueError: the data is odd"); process.exit(3)'
const sleeps = 'setInterval(() => {}, 1000)'

const checkpoints = async (jobId: string) =>
  (await tenant.call<ListCheckpointsResponse__Output>('ListCheckpoints', { job_id: jobId })).checkpoints

describe('Pausing and resuming', () => {
  it('a paused job has a checkpoint, holds nothing, and resumes from it', async () => {
    keepOnFailure(coordinator)
    const id = await tenant.submit(tenant.custom(patient))
    await tenant.until(id, ({ job }) => job?.progress != null)
    const asked = await tenant.call<Job__Output>('PauseJob', { job_id: id })
    expect(asked).toMatchObject({ status: 'TRAINING', wanted: 'PAUSE', available_actions: ['CANCEL', 'UPDATE'] })
    await tenant.until(id, 'PAUSED')
    const paused = await tenant.job(id)
    expect(paused).toMatchObject({ status: 'PAUSED', nodes: [], available_actions: ['CANCEL', 'RESUME', 'UPDATE'] })
    expect(paused.attempts[0]).toMatchObject({ exit_code: 85 })
    const [saved] = await checkpoints(id)
    expect(saved).toMatchObject({ step: '7', attempt: 1, metrics: { loss: 0.5 } })

    await tenant.call('ResumeJob', { job_id: id })
    await tenant.until(id, 'COMPLETED')
    const done = await tenant.job(id)
    expect(done.attempts).toMatchObject([{ cause: 'FIRST' }, { cause: 'RESUME', from_checkpoint: saved?.checkpoint_id }])
  })

  it('asking twice answers the same job', async () => {
    const id = await tenant.submit(tenant.custom(patient))
    await tenant.until(id, ({ job }) => job?.progress != null)
    const first = await tenant.call<Job__Output>('PauseJob', { job_id: id, save_checkpoint: false })
    const second = await tenant.call<Job__Output>('PauseJob', { job_id: id, save_checkpoint: false })
    expect(second.wanted).toBe('PAUSE')
    expect(Number(second.revision)).toBeGreaterThanOrEqual(Number(first.revision))
    await tenant.until(id, 'PAUSED')
    expect(await checkpoints(id)).toEqual([])
    expect((await tenant.call<Job__Output>('PauseJob', { job_id: id })).status).toBe('PAUSED')
    expect((await tenant.refused('ResumeJob', { job_id: id, checkpoint_id: 'ckpt_none' })).code).toBe('CHECKPOINT_NOT_FOUND')
    expect((await tenant.call<Job__Output>('CancelJob', { job_id: id })).status).toBe('CANCELLED')
  })

  it('is refused for a finished job, naming the states it is possible from', async () => {
    const id = await tenant.submit(tenant.custom('console.log(1)'))
    await tenant.until(id, 'COMPLETED')
    const refusal = await tenant.refused('PauseJob', { job_id: id })
    expect(refusal.code).toBe('JOB_STATE_CONFLICT')
    expect(refusal.fields).toEqual([
      { path: 'state', message: 'COMPLETED' },
      { path: 'allowed_from', message: 'TRAINING CHECKPOINTING' },
    ])
  })
})

describe('Cancelling', () => {
  it('ends a running job without a checkpoint, and says who and why', async () => {
    keepOnFailure(coordinator)
    const id = await tenant.submit(tenant.custom(patient))
    await tenant.until(id, ({ job }) => job?.progress != null)
    await tenant.call('CancelJob', { job_id: id, reason: 'wrong data' })
    await tenant.until(id, 'CANCELLED')
    expect(await tenant.job(id)).toMatchObject({
      message: 'Cancelled by ada: wrong data',
      available_actions: ['RETRY', 'UPDATE', 'ARCHIVE'],
    })
    expect(await checkpoints(id)).toEqual([])
    expect((await tenant.call<Job__Output>('CancelJob', { job_id: id })).status).toBe('CANCELLED')
  })

  it('beats a pause that is on its way', async () => {
    const id = await tenant.submit(tenant.custom('process.on("SIGTERM", () => {}); console.log("{}"); setInterval(() => {}, 1000)'))
    await tenant.until(id, 'TRAINING')
    await tenant.call('PauseJob', { job_id: id })
    await tenant.call('CancelJob', { job_id: id })
    expect((await tenant.refused('PauseJob', { job_id: id })).code).toBe('JOB_STATE_CONFLICT')
    await tenant.until(id, 'CANCELLED')
  })

  it('a waiting job is cancelled at once', async () => {
    const id = await tenant.submit(tenant.custom(sleeps, { scheduling_config: { start_after: { seconds: 4_000_000_000 } } }))
    expect((await tenant.call<Job__Output>('CancelJob', { job_id: id })).status).toBe('CANCELLED')
    expect(await tenant.statuses(id)).toEqual(['PENDING', 'QUEUED', 'CANCELLED'])
  })
})

describe('Failing', () => {
  it('a job says why it failed, with the last lines of its log', async () => {
    const id = await tenant.submit(tenant.custom(fails))
    await tenant.until(id, 'FAILED')
    const { failure } = await tenant.job(id)
    expect(failure).toMatchObject({
      class: 'CODE',
      exit_code: 3,
      message: 'ValueError: the data is odd',
      evidence: ['ValueError: the data is odd'],
    })
  })

  it('a job with retries left is tried again without being FAILED in between', async () => {
    const id = await tenant.submit(tenant.custom(fails, { training: { max_retries: 1 } }))
    const before = await tenant.until(id, 'FAILED')
    expect(before.job?.attempts).toMatchObject([{ number: 1 }, { number: 2, cause: 'RETRY' }])
    expect((await tenant.statuses(id)).filter((status) => status === 'FAILED')).toHaveLength(1)
  })

  it('a retry is a new attempt in the same job', async () => {
    const flag = join(tenant.files, 'fixed')
    const id = await tenant.submit(
      tenant.custom(`import { existsSync } from 'node:fs'\nprocess.exit(existsSync(${JSON.stringify(flag)}) ? 0 : 1)`),
    )
    await tenant.until(id, 'FAILED')
    tenant.file('fixed', '')
    const answer = await tenant.call<Job__Output>('RetryJob', { job_id: id, idempotency_key: 'once' })
    expect(answer).toMatchObject({ status: 'QUEUED', failure: null })
    expect(await tenant.call<Job__Output>('RetryJob', { job_id: id, idempotency_key: 'once' })).toEqual(answer)
    await tenant.until(id, 'COMPLETED')
    expect((await tenant.job(id)).attempts).toHaveLength(2)
  })

  it('a trainer that stops on its own with 85 is preempted and goes back to the queue', async () => {
    const flag = join(tenant.files, 'again')
    const id = await tenant.submit(
      tenant.custom(
        `import { existsSync, writeFileSync } from 'node:fs'\nif (existsSync(${JSON.stringify(flag)})) process.exit(0)\nwriteFileSync(${JSON.stringify(flag)}, '')\nprocess.exit(85)`,
      ),
    )
    await tenant.until(id, 'COMPLETED')
    expect(await tenant.statuses(id)).toEqual(expect.arrayContaining(['PREEMPTED', 'COMPLETED']))
    expect((await tenant.job(id)).attempts).toMatchObject([{ exit_code: 85 }, { cause: 'REQUEUE', exit_code: 0 }])
  })

  it('a launcher that dies unheard costs the job its place, not its life', async () => {
    keepOnFailure(coordinator)
    const script = `import { readFileSync } from 'node:fs'
if (JSON.parse(readFileSync('job.json', 'utf8')).attempt === 1) setInterval(() => {}, 1000)`
    const id = await tenant.submit(tenant.custom(script))
    await tenant.until(id, 'TRAINING')
    const folder = join(coordinator.dataDir, 'jobs', tenant.id, id, 'attempts/1')
    const { pid } = JSON.parse(readFileSync(join(folder, 'launcher.json'), 'utf8')) as { pid: number }
    process.kill(pid, 'SIGKILL')
    await tenant.until(id, 'COMPLETED')
    expect(await tenant.statuses(id)).toContain('PREEMPTED')
    expect((await tenant.job(id)).attempts).toMatchObject([{ signal: '' }, { cause: 'REQUEUE', exit_code: 0 }])
  })

  it('a trainer that the system kills is named with its signal', async () => {
    const id = await tenant.submit(tenant.custom('process.kill(process.pid, "SIGKILL")'))
    await tenant.until(id, 'FAILED')
    expect((await tenant.job(id)).failure).toMatchObject({ class: 'OUT_OF_MEMORY', message: expect.stringContaining('SIGKILL') })
  })

  it('a retry goes on from the newest checkpoint', async () => {
    const script = `import { appendFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
if (JSON.parse(readFileSync('job.json', 'utf8')).resume_from) process.exit(0)
for (const step of [10, 20]) {
  mkdirSync('checkpoints/' + step, { recursive: true })
  if (step === 10) writeFileSync('checkpoints/10/manifest.json', '{}')
  appendFileSync('events.jsonl', JSON.stringify({ type: 'checkpoint', time: new Date().toISOString(), checkpoint_id: 's' + step, step, path: 'checkpoints/' + step, bytes: 2 }) + '\\n')
}
process.exit(1)`
    const id = await tenant.submit(tenant.custom(script, { training: { max_retries: 1 } }))
    await tenant.until(id, 'COMPLETED')
    // The newer one has no manifest, so it is not complete.
    const saved = await checkpoints(id)
    expect(saved).toMatchObject([{ step: '10' }])
    expect((await tenant.job(id)).attempts[1]).toMatchObject({ cause: 'RETRY', from_checkpoint: saved[0]?.checkpoint_id })
  })

  it('with requeue off it stays PREEMPTED until a retry or a cancel', async () => {
    const id = await tenant.submit(tenant.custom('process.exit(85)', { scheduling_config: { requeue_on_preemption: false } }))
    await tenant.until(id, 'PREEMPTED')
    expect((await tenant.job(id)).available_actions).toEqual(['CANCEL', 'RETRY', 'UPDATE'])
    await tenant.call('CancelJob', { job_id: id })
    await tenant.until(id, 'CANCELLED')
  })

  it('a job that runs too long is stopped at a checkpoint and FAILED', async () => {
    const id = await tenant.submit(tenant.custom(patient, { scheduling_config: { max_runtime_seconds: 1 } }))
    await tenant.until(id, 'FAILED')
    expect((await tenant.job(id)).failure).toMatchObject({ class: 'TIME_LIMIT' })
    expect(await checkpoints(id)).toHaveLength(1)
  })
})

describe('A running job', () => {
  it('shows no environment values, and keeps them out of job.json', async () => {
    const spec = tenant.custom('console.log("value " + process.env.TOKEN)', { training: { environment: { TOKEN: 'very-secret' } } })
    const id = await tenant.submit(spec)
    const event = await tenant.until(id, 'COMPLETED')
    expect(JSON.stringify(event)).not.toContain('very-secret')
    expect((await tenant.job(id)).training_config?.environment).toEqual({ TOKEN: '***' })
    const folder = join(coordinator.dataDir, 'jobs', tenant.id, id, 'attempts/1')
    expect(readFileSync(join(folder, 'job.json'), 'utf8')).not.toContain('very-secret')
    expect(readFileSync(join(folder, 'logs.0.jsonl'), 'utf8')).toContain('value very-secret')
  })

  it('delivers its output where the submission says', async () => {
    const script = `
import { appendFileSync, mkdirSync, writeFileSync } from 'node:fs'
mkdirSync('output')
writeFileSync('output/adapter.safetensors', 'weights')
appendFileSync('events.jsonl', JSON.stringify({ type: 'artefact', time: new Date().toISOString(), kind: 'adapter', path: 'output', files: ['adapter.safetensors'], bytes: 7 }) + '\\n')`
    const output_uri = join(tenant.files, 'result')
    const id = await tenant.submit(tenant.custom(script, { output_config: { output_uri } }))
    await tenant.until(id, 'COMPLETED')
    expect((await tenant.job(id)).output).toMatchObject({ kind: 'adapter', files: ['adapter.safetensors'], bytes: '7' })
    expect(existsSync(join(output_uri, 'adapter.safetensors'))).toBe(true)
  })

  it('waits for the jobs it depends on', async () => {
    const first = await tenant.submit(tenant.custom(patient))
    await tenant.until(first, ({ job }) => job?.progress != null)
    const second = await tenant.submit(tenant.custom('console.log(2)', { scheduling_config: { depends_on: [first] } }))
    const queue = await tenant.call<{ entries: { job_id: string; waiting_for: string }[] }>('GetQueue')
    expect(queue.entries).toMatchObject([{ job_id: second, waiting_for: expect.stringContaining(first) }])
    expect(await tenant.job(second)).toMatchObject({ status: 'QUEUED', queue_position: 1 })
    await tenant.call('PauseJob', { job_id: first })
    await tenant.until(first, 'PAUSED')
    await tenant.call('ResumeJob', { job_id: first })
    await tenant.until(second, 'COMPLETED')
  })

  it('takes new labels and a new priority', async () => {
    const id = await tenant.submit(tenant.custom('console.log(1)'))
    const changed = await tenant.call<Job__Output>('UpdateJob', { job_id: id, labels: { labels: { team: 'vision' } } })
    expect(changed.labels).toEqual({ team: 'vision' })
    expect((await tenant.refused('UpdateJob', { job_id: id, priority: 11 })).fields).toMatchObject([{ path: 'priority' }])
    expect((await tenant.refused('UpdateJob', { job_id: id, labels: { labels: { type: 'x' } } })).fields).toMatchObject([
      { path: 'labels.type' },
    ])
    await tenant.until(id, 'COMPLETED')
    expect((await tenant.refused('UpdateJob', { job_id: id, priority: 3 })).code).toBe('JOB_STATE_CONFLICT')
  })
})
