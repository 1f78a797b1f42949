import { existsSync, readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { toTimestamp } from '../../../src/contract/proto.js'
import { openDatabase } from '../../../src/coordinator/jobs/records/database.js'
import type { JobEvent__Output } from '../../../src/generated/proto/scaimind/v1/JobEvent.js'
import type { ListCheckpointsResponse__Output } from '../../../src/generated/proto/scaimind/v1/ListCheckpointsResponse.js'
import type { ListRegisteredModelsResponse__Output } from '../../../src/generated/proto/scaimind/v1/ListRegisteredModelsResponse.js'
import type { LogEvent__Output } from '../../../src/generated/proto/scaimind/v1/LogEvent.js'
import type { MetricEvent__Output } from '../../../src/generated/proto/scaimind/v1/MetricEvent.js'
import { eventually } from '../../support/api.js'
import { type CoordinatorTenant, keepOnFailure, startTestCoordinator, type TestCoordinator } from '../../support/coordinator.js'

let coordinator: TestCoordinator
let tenant: CoordinatorTenant

beforeAll(async () => {
  coordinator = await startTestCoordinator({}, { process: true })
  tenant = coordinator.tenant()
})
afterAll(async () => {
  await coordinator?.close()
})

/** Trains slowly enough to be interrupted, with a checkpoint on the way, and stops where it is told. */
const slow = (steps: number) => `
import { appendFileSync, mkdirSync, writeFileSync } from 'node:fs'
const tell = (event) => appendFileSync('events.jsonl', JSON.stringify({ time: new Date().toISOString(), ...event }) + '\\n')
process.on('SIGTERM', () => process.exit(85))
for (let step = 1; step <= ${steps}; step++) {
  appendFileSync('metrics.jsonl', JSON.stringify({ step, epoch: 0, time: new Date().toISOString(), values: { loss: 1 / step } }) + '\\n')
  console.log('step ' + step)
  tell({ type: 'progress', step, total_steps: ${steps} })
  if (step % 10 === 0) {
    tell({ type: 'phase', phase: 'CHECKPOINTING' })
    mkdirSync('checkpoints/step-' + step, { recursive: true })
    writeFileSync('checkpoints/step-' + step + '/manifest.json', '{}')
    tell({ type: 'checkpoint', checkpoint_id: 'step-' + step, step, path: 'checkpoints/step-' + step, bytes: 2, metrics: {} })
    tell({ type: 'phase', phase: 'TRAINING' })
  }
  await new Promise((later) => setTimeout(later, 40))
}
`

/** Reads a stream to its end as clients do: where it breaks, again after its last cursor. */
async function* resumed<Message extends { cursor: string; event?: string }>(
  method: string,
  jobId: string,
  reader = tenant,
): AsyncGenerator<Message> {
  let after = ''
  for (let broken = 0; broken < 100; broken++) {
    try {
      for await (const message of reader.stream<Message>(method, { job_id: jobId, after })) {
        after = message.cursor
        yield message
        if (message.event === 'end') return
      }
    } catch (error) {
      if ((error as { code?: number }).code !== 14) throw error
    }
  }
  throw new Error(`${method} never ended.`)
}

describe('kill -9 of the coordinator in the middle of a job', () => {
  it('loses and doubles no metric, log line, checkpoint or event, and the job completes in its first attempt', async () => {
    keepOnFailure(coordinator)
    const steps = 60
    const id = await tenant.submit(tenant.custom(slow(steps)))
    const logs: string[] = []
    const reading = (async () => {
      for await (const { batch } of resumed<LogEvent__Output>('StreamJobLogs', id))
        logs.push(...(batch?.records ?? []).map(({ text }) => text))
    })()
    const seen: number[] = []
    const kills = [5, 25, 40]
    for await (const { batch } of resumed<MetricEvent__Output>('StreamJobMetrics', id)) {
      seen.push(...(batch?.records ?? []).map(({ step }) => Number(step)))
      if (kills[0] !== undefined && (seen.at(-1) ?? 0) >= kills[0]) {
        kills.shift()
        await coordinator.restart()
      }
    }
    await reading
    expect(kills).toEqual([])
    expect(seen).toEqual(Array.from({ length: steps }, (_, index) => index + 1))
    expect(logs).toEqual(Array.from({ length: steps }, (_, index) => `step ${index + 1}`))

    const job = await tenant.job(id)
    expect(job).toMatchObject({ status: 'COMPLETED', progress: { step: String(steps) }, attempts: [{ number: 1, exit_code: 0 }] })
    const { checkpoints } = await tenant.call<ListCheckpointsResponse__Output>('ListCheckpoints', { job_id: id })
    expect(checkpoints.map(({ step }) => Number(step))).toEqual([60, 50, 40, 30, 20, 10])
    const revisions: number[] = []
    for await (const event of tenant.stream<JobEvent__Output>('StreamJobEvents', { job_id: id }))
      revisions.push(Number(event.job?.revision))
    expect(revisions).toEqual(revisions.map((_, index) => index + 1))
  })

  it('a job that ends while the coordinator is away is found ended, and the one behind it starts', async () => {
    keepOnFailure(coordinator)
    const first = await tenant.submit(tenant.custom(slow(15), { resource_config: { cpus_per_node: 4 } }))
    const second = await tenant.submit(tenant.custom('console.log(2)', { resource_config: { cpus_per_node: 4 } }))
    await tenant.until(first, 'TRAINING')
    await coordinator.restart()
    await tenant.until(second, 'COMPLETED')
    expect((await tenant.job(first)).status).toBe('COMPLETED')
  })

  it('what was asked before the kill happens after it', async () => {
    keepOnFailure(coordinator)
    const paused = await tenant.submit(tenant.custom(slow(1000)))
    const cancelled = await tenant.submit(tenant.custom(slow(1000)))
    await tenant.until(paused, 'TRAINING')
    await tenant.until(cancelled, 'TRAINING')
    await Promise.all([tenant.call('PauseJob', { job_id: paused }), tenant.call('CancelJob', { job_id: cancelled })])
    await coordinator.restart()
    await tenant.until(paused, 'PAUSED')
    await tenant.until(cancelled, 'CANCELLED')
  })

  it('what failed or was cancelled never runs again by a clean-up', async () => {
    keepOnFailure(coordinator)
    const cancelled = await tenant.submit(tenant.custom(slow(1000), { training: { max_retries: 3 } }))
    await tenant.until(cancelled, 'TRAINING')
    await tenant.call('CancelJob', { job_id: cancelled })
    await tenant.until(cancelled, 'CANCELLED')
    const failed = await tenant.submit(tenant.custom('process.exit(1)'))
    await tenant.until(failed, 'FAILED')
    const before = [await tenant.job(cancelled), await tenant.job(failed)]
    await coordinator.restart()
    await tenant.until(await tenant.submit(tenant.custom('')), 'COMPLETED')
    expect([await tenant.job(cancelled), await tenant.job(failed)]).toEqual(before)
    expect(before.map(({ attempts }) => attempts.length)).toEqual([1, 1])
  })

  it('what was cancelled before it started is not started to be stopped', async () => {
    keepOnFailure(coordinator)
    const id = await tenant.submit(tenant.custom(slow(1000), { scheduling_config: { start_after: toTimestamp(new Date('2100-01-01')) } }))
    // As a kill leaves it between the intent to start it and the engine's answer.
    const database = openDatabase(coordinator.databaseUrl)
    await database.job.update({ where: { jobId: id }, data: { status: 'SCHEDULING', wanted: 'CANCEL', attempt: 1 } })
    const attempt = { jobId: id, number: 1, cause: 'FIRST', token: 'x', placement: '[]', submittedAt: new Date() }
    await database.attempt.create({ data: attempt })
    await database.$disconnect()
    await coordinator.restart()
    await tenant.until(id, 'CANCELLED')
    expect(existsSync(join(coordinator.dataDir, 'jobs', tenant.id, id, 'attempts', '1', 'launcher.json'))).toBe(false)
    expect((await tenant.job(id)).attempts).toMatchObject([{ number: 1, started_at: null }])
  })

  it('while a model is being registered leaves one whole model, and the job completes', async () => {
    keepOnFailure(coordinator)
    const folder = join(coordinator.dataDir, 'models', tenant.id)
    const names = () => (existsSync(folder) ? readdirSync(folder) : [])
    const script = `import { appendFileSync, mkdirSync, writeFileSync } from 'node:fs'
mkdirSync('output')
for (let part = 0; part < 400; part++) writeFileSync('output/part-' + part, String(part).repeat(1000))
appendFileSync('events.jsonl', JSON.stringify({ type: 'artefact', time: new Date().toISOString(), kind: 'model', path: 'output', files: [], bytes: 1 }) + '\\n')`
    const id = await tenant.submit(tenant.custom(script, { output_config: { register_as: 'whole' } }))
    // Half copied, then copied and perhaps on record.
    for (const begin of ['', 'whole@']) {
      await eventually(() => names().some((name) => name.startsWith(begin)))
      await coordinator.restart()
    }
    await tenant.until(id, 'COMPLETED')
    const { models } = await tenant.call<ListRegisteredModelsResponse__Output>('ListRegisteredModels')
    const { output, attempts } = await tenant.job(id)
    expect(models).toMatchObject([{ job_id: id, current: true, path: output?.registered_path, content_hash: output?.content_hash }])
    expect([models[0]?.files.length, attempts.length]).toEqual([400, 1])
    expect(names().sort()).toEqual([`whole@${output?.content_hash.slice(7, 19)}`, 'whole@current'].sort())
    expect(join(folder, readlinkSync(join(folder, 'whole@current')))).toBe(output?.registered_path)
  })

  it('at any moment of the first second a job is neither lost nor started twice', async () => {
    keepOnFailure(coordinator)
    const script = `import { appendFileSync } from 'node:fs'\nappendFileSync(process.env.SCAIMIND_JOB_DIR + '/../../starts', 'x')`
    for (const delayMs of [0, 60, 200]) {
      const id = await tenant.submit(tenant.custom(script))
      await new Promise((later) => setTimeout(later, delayMs))
      await coordinator.restart()
      await tenant.until(id, 'COMPLETED')
      expect(readFileSync(join(coordinator.dataDir, 'jobs', tenant.id, id, 'starts'), 'utf8')).toBe('x')
    }
  })
})

describe('An orderly restart', () => {
  it('takes little time with open streams and running jobs, and loses nothing', async () => {
    const inside = await startTestCoordinator()
    keepOnFailure(inside)
    const reader = inside.tenant()
    const id = await reader.submit(reader.custom(slow(30)))
    const seen: number[] = []
    let restarted = false
    for await (const { batch } of resumed<MetricEvent__Output>('StreamJobMetrics', id, reader)) {
      seen.push(...(batch?.records ?? []).map(({ step }) => Number(step)))
      if (restarted) continue
      restarted = true
      await inside.restart()
    }
    expect(seen).toEqual(Array.from({ length: 30 }, (_, index) => index + 1))
    expect((await reader.job(id)).attempts).toHaveLength(1)
    await inside.close()
  })
})
