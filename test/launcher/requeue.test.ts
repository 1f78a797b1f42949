import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { exited, jobFolder, orderOf, read, requeue } from './support.js'

/** An attempt that wrote these checkpoints, each told of; `torn` without a manifest. */
function attemptWith(job: string, attempt: number, checkpoints: { step: number; torn?: boolean; deleted?: boolean }[]): string {
  const folder = join(job, 'attempts', String(attempt))
  const environment = { PATH: `/usr/bin:${folder}/bin`, HOME: folder, CACHE: `${folder}0/cache` }
  orderOf('', { job, attempt, environment, command: ['/bin/sh', '-c', 'echo $HOME'] })
  writeFileSync(join(folder, 'job.json'), JSON.stringify({ job_id: 'job', attempt, token: `token-${attempt}`, resume_from: '/given' }))
  const events = checkpoints.flatMap(({ step, torn, deleted }) => {
    const path = `checkpoints/step-${step}`
    mkdirSync(join(folder, path), { recursive: true })
    if (!torn) writeFileSync(join(folder, path, 'manifest.json'), '{}')
    const told = { type: 'checkpoint', checkpoint_id: `step-${step}`, step, path }
    return deleted ? [told, { ...told, type: 'checkpoint_deleted' }] : [told]
  })
  writeFileSync(join(folder, 'events.jsonl'), `${events.map((event) => JSON.stringify(event)).join('\n')}\n{"type": "check`)
  return folder
}

describe('A requeued script', () => {
  it('runs its attempt as it is the first time', async () => {
    const job = jobFolder()
    const folder = attemptWith(job, 3, [])
    expect(await requeue(job, 3, 0)).toEqual({ code: 0, stdout: `${folder}\n`, stderr: '' })
    expect(readdirSync(join(job, 'attempts'))).toEqual(['3'])
  })

  it('makes an attempt of its own each time, once however many ask, that goes on from the newest complete checkpoint', async () => {
    const job = jobFolder()
    attemptWith(job, 1, [{ step: 8 }, { step: 30, deleted: true }])
    const first = attemptWith(job, 2, [{ step: 4 }, { step: 8 }, { step: 9, torn: true }])
    const made = join(job, 'attempts/3')
    const answers = await Promise.all([requeue(job, 2, 1), requeue(job, 2, 1), requeue(job, 2, 1)])
    expect(answers).toEqual(answers.map(() => ({ code: 0, stdout: `${made}\n`, stderr: '' })))

    const order = read(made, 'launch.json')
    expect(order).toMatchObject({
      attempt: 3,
      stop_grace_seconds: 30,
      environment: { PATH: `/usr/bin:${made}/bin`, HOME: made, CACHE: `${first}0/cache` },
    })
    expect(order.token).not.toBe('token-2')
    expect(statSync(join(made, 'launch.json')).mode & 0o777).toBe(0o600)
    expect(read(made, 'job.json')).toEqual({
      job_id: 'job',
      attempt: 3,
      token: order.token,
      resume_from: join(first, 'checkpoints/step-8'),
    })
    expect(read(made, 'requeued.json')).toMatchObject({ from: 2, restarts: 1, time: expect.stringMatching(/^20/) })

    expect(await exited(made)).toBe(0)
    expect(readFileSync(join(job, 'fence/3'), 'utf8')).toBe(order.token)
    expect(await requeue(job, 2, 1)).toMatchObject({ stdout: `${made}\n` })
    expect(read(made, 'launch.json').token).toBe(order.token)
    expect(await requeue(job, 2, 2)).toMatchObject({ code: 0 })
    expect(read(join(job, 'attempts/4'), 'requeued.json')).toMatchObject({ from: 3, restarts: 2 })
    expect(readdirSync(job).sort()).toEqual(['attempts', 'fence'])
  })

  it('goes on from where its attempt did, where nothing newer is complete', async () => {
    const job = jobFolder()
    attemptWith(job, 1, [{ step: 5, torn: true }])
    await requeue(job, 1, 1)
    expect(read(join(job, 'attempts/2'), 'job.json')).toMatchObject({ resume_from: '/given' })
  })

  it("takes no other attempt's number", async () => {
    const job = jobFolder()
    attemptWith(job, 1, [])
    const other = attemptWith(job, 2, [])
    expect(await requeue(job, 1, 1)).toMatchObject({ code: 1, stdout: '', stderr: expect.stringContaining(other) })
    expect(read(other, 'job.json').token).toBe('token-2')
  })
})
