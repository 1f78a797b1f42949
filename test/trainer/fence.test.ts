import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { writeFolder } from '../../src/trainer/durable.js'
import { eventsOf, jobOf, metricOf, minuteModel, pairsFile, readLines, startTrainer, temporaryFolder } from './support.js'

/** A running attempt of a job's folder, and how a newer one takes over. */
async function runningAttempt() {
  const job = temporaryFolder()
  const folder = join(job, 'attempts/1')
  mkdirSync(folder, { recursive: true })
  mkdirSync(join(job, 'fence'))
  writeFileSync(join(job, 'fence/1'), 'token')
  const submission = jobOf({
    training: { base_model: { model_id: minuteModel() } },
    hyperparameters: { max_steps: '1000000' },
    data: { sources: [{ path: pairsFile(20) }] },
  })
  writeFileSync(join(folder, 'job.json'), JSON.stringify(submission))
  const trainer = startTrainer(folder)
  await trainer.untilStep(3)
  return { folder, trainer, overtake: () => writeFileSync(join(job, 'fence/2'), 'another') }
}

describe.concurrent('A trainer that a newer attempt has overtaken', () => {
  it('puts no checkpoint in place, and ends with 86 and not a word', async () => {
    const { folder, trainer, overtake } = await runningAttempt()
    trainer.process.kill('SIGUSR1')
    await trainer.untilEvent('checkpoint')
    const [saved] = eventsOf(folder, 'checkpoint')
    await trainer.untilStep(Number(saved?.step) + 2)
    overtake()
    trainer.process.kill('SIGUSR1')
    expect((await trainer.ended).code).toBe(86)
    expect(eventsOf(folder, 'checkpoint')).toHaveLength(1)
    expect(eventsOf(folder, 'failure')).toEqual([])
    const complete = readdirSync(join(folder, 'checkpoints')).filter((name) => !name.includes('.tmp-'))
    expect(complete).toEqual([saved?.checkpoint_id])
  })

  it('writes no metrics beyond a second', async () => {
    const { folder, trainer, overtake } = await runningAttempt()
    overtake()
    const overtakenAt = Date.now()
    expect((await trainer.ended).code).toBe(86)
    const last = readLines(folder, 'metrics.jsonl').at(-1)
    expect(Date.parse(String(last?.time))).toBeLessThan(overtakenAt + 1050)
    expect(metricOf(folder, 'loss').length).toBeGreaterThan(2)
    expect(existsSync(join(folder, 'output'))).toBe(false)
  })

  it('leaves no half of a folder under its name', () => {
    const folder = join(temporaryFolder(), 'step-1')
    const refused = () =>
      writeFolder(folder, new Map([['manifest.json', Buffer.from('{}')]]), () => {
        throw new Error('overtaken')
      })
    expect(refused).toThrow('overtaken')
    expect(existsSync(folder)).toBe(false)
  })
})
