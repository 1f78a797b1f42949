import { cpSync, existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import {
  attemptFolder,
  eventsOf,
  jobOf,
  metricOf,
  minuteModel,
  pairsFile,
  preferencesFile,
  readLines,
  runTrainer,
  startTrainer,
  temporaryFolder,
} from './support.js'

const model = minuteModel()
const path = pairsFile(40)

function job(parts: Parameters<typeof jobOf>[0] = {}) {
  return jobOf({
    ...parts,
    training: { base_model: { model_id: model }, ...parts.training },
    hyperparameters: { max_steps: '40', warmup_steps: '5', lr_scheduler_type: 'cosine', ...parts.hyperparameters },
    data: { sources: [{ path }], validation_split: 0.2, gradient_accumulation_steps: 2, ...parts.data },
  })
}

/** A job that runs until it is stopped. */
const endless = (parts: Parameters<typeof jobOf>[0] = {}) =>
  job({ ...parts, hyperparameters: { max_steps: '1000000', ...parts.hyperparameters } })

function checkpointOf(folder: string): string {
  const last = eventsOf(folder, 'checkpoint').at(-1)
  expect(last, `a checkpoint in ${folder}`).toBeDefined()
  return join(folder, String(last?.path))
}

describe.concurrent('stopping and going on', () => {
  it.each(['LORA', 'SFT', 'DPO'])(
    'a %s run stopped by SIGTERM goes on with exactly the losses of one that was never stopped',
    async (training_type) => {
      const isPairs = training_type === 'DPO'
      // Enough that the signal comes before the end.
      const max_steps = isPairs ? 150 : 400
      const data = isPairs ? { sources: [{ path: preferencesFile(40) }] } : {}
      const parts = { training: { training_type }, hyperparameters: { max_steps: String(max_steps) }, data }
      const whole = attemptFolder(job(parts))
      const first = attemptFolder(job(parts))
      const trainer = startTrainer(first)
      const uninterrupted = runTrainer(whole)
      await trainer.untilStep(7)
      trainer.process.kill('SIGTERM')
      expect((await trainer.ended).code).toBe(85)
      const stoppedAt = metricOf(first, 'loss').at(-1)?.[0] ?? 0
      expect(eventsOf(first, 'checkpoint')).toMatchObject([{ checkpoint_id: `step-${stoppedAt}`, step: stoppedAt }])
      expect(stoppedAt).toBeLessThan(max_steps)

      const second = attemptFolder(job({ ...parts, top: { attempt: 2, resume_from: checkpointOf(first) } }))
      expect((await runTrainer(second)).code).toBe(0)
      expect((await uninterrupted).code).toBe(0)
      expect(metricOf(second, 'loss')[0]?.[0]).toBe(stoppedAt + 1)
      for (const name of ['loss', 'rewards_margin', 'learning_rate', 'grad_norm', 'epoch']) {
        expect([...metricOf(first, name), ...metricOf(second, name)]).toEqual(metricOf(whole, name))
      }
      const output = training_type === 'LORA' ? 'output/adapter_model.safetensors' : 'output/model.safetensors'
      expect(readFileSync(join(second, output)).equals(readFileSync(join(whole, output)))).toBe(true)
      const evaluationOf = (folder: string) => eventsOf(folder, 'evaluation').map(({ time: _, ...rest }) => rest)
      expect(evaluationOf(second)).toEqual(evaluationOf(whole))
      expect(eventsOf(second, 'progress').at(-1)?.tokens_seen).toBe(eventsOf(whole, 'progress').at(-1)?.tokens_seen)
    },
  )

  it('SIGUSR1 saves a checkpoint at the next step and the run goes on', async () => {
    const folder = attemptFolder(endless())
    const trainer = startTrainer(folder)
    await trainer.untilStep(3)
    trainer.process.kill('SIGUSR1')
    await trainer.untilEvent('checkpoint')
    const step = eventsOf(folder, 'checkpoint')[0]?.step as number
    await trainer.untilStep(step + 2)
    writeFileSync(join(folder, 'stop.json'), '{"save_checkpoint": false}')
    trainer.process.kill('SIGTERM')
    expect((await trainer.ended).code).toBe(85)
    expect(eventsOf(folder, 'phase').map((event) => event.phase)).toEqual(['PREPARING', 'TRAINING', 'CHECKPOINTING', 'TRAINING'])
    expect(readdirSync(join(folder, 'checkpoints'))).toEqual([`step-${step}`])
  })

  it('stop.json asks for a stop without a checkpoint', async () => {
    const folder = attemptFolder(endless())
    const trainer = startTrainer(folder)
    await trainer.untilStep(3)
    writeFileSync(join(folder, 'stop.json'), '{"save_checkpoint": false}')
    trainer.process.kill('SIGTERM')
    expect((await trainer.ended).code).toBe(85)
    expect(existsSync(join(folder, 'checkpoints'))).toBe(false)
  })

  it('SIGTERM before the first step, and a second one, end the run with 85 and nothing saved', async () => {
    const folder = attemptFolder(endless())
    const trainer = startTrainer(folder)
    await trainer.untilEvent('ready')
    trainer.process.kill('SIGTERM')
    trainer.process.kill('SIGTERM')
    expect((await trainer.ended).code).toBe(85)
    expect(existsSync(join(folder, 'checkpoints'))).toBe(false)
    expect(existsSync(join(folder, 'output'))).toBe(false)
  })

  it('a run whose log nobody reads any more saves and stops', async () => {
    const folder = attemptFolder(endless({ hyperparameters: { logging_steps: '1' } }))
    const trainer = startTrainer(folder)
    await trainer.untilStep(3)
    trainer.process.stdout?.destroy()
    expect((await trainer.ended).code).toBe(85)
    expect(eventsOf(folder, 'checkpoint')).toHaveLength(1)
  })

  it('save_total_limit keeps the newest checkpoints and tells which were deleted', async () => {
    const folder = attemptFolder(
      job({ hyperparameters: { max_steps: '9' }, output: { save_strategy: 'STEPS', save_steps: 2, save_total_limit: 2 } }),
    )
    expect((await runTrainer(folder)).code).toBe(0)
    expect(eventsOf(folder, 'checkpoint').map((event) => event.step)).toEqual([2, 4, 6, 8, 9])
    expect(eventsOf(folder, 'checkpoint_deleted').map((event) => event.step)).toEqual([2, 4, 6])
    expect(readdirSync(join(folder, 'checkpoints')).sort()).toEqual(['step-8', 'step-9'])
  })

  it('save_strategy EPOCH saves at the end of every epoch', async () => {
    const folder = attemptFolder(job({ hyperparameters: { max_steps: '9' }, output: { save_strategy: 'EPOCH' } }))
    await runTrainer(folder)
    expect(eventsOf(folder, 'checkpoint').map((event) => event.step)).toEqual([4, 8, 9])
  })
})

describe('a checkpoint', () => {
  let complete = ''
  beforeAll(async () => {
    const folder = attemptFolder(job({ hyperparameters: { max_steps: '4' }, output: { save_strategy: 'STEPS', save_steps: 2 } }))
    await runTrainer(folder)
    complete = join(folder, 'checkpoints/step-2')
  })

  /** Resumes from a copy of the checkpoint that was tampered with. */
  async function resume(tamper: (folder: string) => void, parts: Parameters<typeof jobOf>[0] = {}) {
    const copy = join(temporaryFolder(), 'step-2')
    cpSync(complete, copy, { recursive: true })
    tamper(copy)
    const folder = attemptFolder(
      job({ ...parts, hyperparameters: { max_steps: '4', ...parts.hyperparameters }, top: { resume_from: copy } }),
    )
    return { folder, ...(await runTrainer(folder)) }
  }

  it('lists every file with its size and hash in its manifest', () => {
    const manifest = JSON.parse(readFileSync(join(complete, 'manifest.json'), 'utf8')) as {
      step: number
      files: Record<string, { bytes: number; sha256: string }>
    }
    expect(manifest.step).toBe(2)
    expect(Object.keys(manifest.files).sort()).toEqual([
      'adapter_config.json',
      'adapter_model.safetensors',
      'optimizer.safetensors',
      'trainer_state.json',
    ])
    for (const [name, { bytes }] of Object.entries(manifest.files)) expect(readFileSync(join(complete, name)).length).toBe(bytes)
  })

  it('that is whole is gone on from', async () => {
    const { code, folder } = await resume(() => {})
    expect(code).toBe(0)
    expect(metricOf(folder, 'loss').map(([step]) => step)).toEqual([3, 4])
    expect(readLines(folder, 'metrics.jsonl')[0]?.step).toBe(3)
  })

  it.each<[string, (folder: string) => void, string]>([
    ['without a manifest', (folder) => rmSync(join(folder, 'manifest.json')), 'no manifest.json'],
    ['with a file missing', (folder) => rmSync(join(folder, 'optimizer.safetensors')), 'optimizer.safetensors is missing'],
    ['with a file cut off', (folder) => writeFileSync(join(folder, 'trainer_state.json'), '{}'), 'trainer_state.json has 2 bytes'],
    [
      'with a changed byte',
      (folder) => {
        const file = join(folder, 'adapter_model.safetensors')
        const bytes = readFileSync(file)
        bytes[bytes.length - 1] = (bytes[bytes.length - 1] as number) ^ 1
        writeFileSync(file, bytes)
      },
      'the contents of adapter_model.safetensors',
    ],
  ])('%s is refused', async (_, tamper, expected) => {
    const { code, stderr, folder } = await resume(tamper)
    expect(code).toBe(1)
    expect(stderr).toContain(expected)
    expect(eventsOf(folder, 'failure')).toMatchObject([{ field: 'resume_from' }])
    expect(metricOf(folder, 'loss')).toEqual([])
  })

  it.each<[string, Parameters<typeof jobOf>[0]]>([
    ['training_config', { hyperparameters: { learning_rate: '0.5' } }],
    ['data_config', { data: { seed: 7 } }],
    ['base model', { training: { base_model: { model_id: 'scaimind/byte-tiny' } } }],
  ])('of another %s is refused', async (part, parts) => {
    const { code, stderr } = await resume(() => {}, parts)
    expect(code).toBe(1)
    expect(stderr).toContain(`it was made with another ${part}`)
  })

  it('is gone on from where only logging, evaluation and saving differ', async () => {
    const { code } = await resume(() => {}, { hyperparameters: { logging_steps: '1', eval_steps: '1' }, output: { save_strategy: 'NONE' } })
    expect(code).toBe(0)
  })
})
