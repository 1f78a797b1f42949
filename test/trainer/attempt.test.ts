import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { readModel } from '../../src/trainer/model/folder.js'
import { readSafetensors } from '../../src/trainer/safetensors.js'
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
    hyperparameters: { max_steps: '12', ...parts.hyperparameters },
    data: { sources: [{ path }], validation_split: 0.2, ...parts.data },
  })
}

describe.concurrent('an attempt', () => {
  it('tells its phases in order, each step once, an evaluation and an adapter in PEFT’s form', async () => {
    const folder = attemptFolder(
      job({ output: { save_strategy: 'STEPS', save_steps: 5, merge_adapter: true }, hyperparameters: { lora_r: '4', eval_steps: '6' } }),
    )
    const { code, stdout, stderr } = await runTrainer(folder)
    expect(stderr).toBe('')
    expect(code).toBe(0)
    expect(stdout).toContain('step 10/12 ')
    expect(readLines(folder, 'events.jsonl')[0]).toMatchObject({ type: 'ready', signals: ['USR1', 'TERM'], pid: expect.any(Number) })
    const saved = ['TRAINING', 'CHECKPOINTING']
    const phases = ['PREPARING', ...saved, ...saved, ...saved, 'TRAINING', 'EVALUATING', 'EXPORTING']
    expect(eventsOf(folder, 'phase').map((event) => event.phase)).toEqual(phases)
    expect(metricOf(folder, 'loss').map(([step]) => step)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12])
    expect(metricOf(folder, 'eval_loss').map(([step]) => step)).toEqual([0, 6, 12])
    expect(eventsOf(folder, 'progress').at(-1)).toMatchObject({ step: 12, total_steps: 12, epoch: 1.5, total_epochs: 1.5, eta_seconds: 0 })

    const [evaluation] = eventsOf(folder, 'evaluation') as {
      base: { loss: number; perplexity: number }
      tuned: { loss: number; perplexity: number }
      samples: object[]
    }[]
    expect(evaluation?.base.loss).toBe(metricOf(folder, 'eval_loss')[0]?.[1])
    expect(evaluation?.tuned.loss).toBe(metricOf(folder, 'eval_loss')[2]?.[1])
    expect(evaluation?.tuned.loss).toBeLessThan(evaluation?.base.loss ?? 0)
    expect(evaluation?.samples).toHaveLength(2)

    expect(eventsOf(folder, 'artefact').map(({ kind, path }) => [kind, path])).toEqual([
      ['adapter', 'output'],
      ['model', 'output/merged'],
    ])
    const config = JSON.parse(readFileSync(join(folder, 'output/adapter_config.json'), 'utf8')) as Record<string, unknown>
    expect(config).toMatchObject({ peft_type: 'LORA', task_type: 'CAUSAL_LM', r: 4, lora_alpha: 16, base_model_name_or_path: model })
    const adapter = readSafetensors(readFileSync(join(folder, 'output/adapter_model.safetensors')))
    expect(adapter.get('base_model.model.model.layers.0.mlp.down_proj.lora_A.weight')?.shape).toEqual([4, 32])
    expect(readModel(join(folder, 'output/merged')).weights.size).toBe(10)
    expect(readFileSync(join(folder, 'output/README.md'), 'utf8')).toMatch(/sha256 `[0-9a-f]{64}`/)
  })

  it.each(['SFT', 'FULL_FINETUNE', 'CONTINUED_PRETRAIN'])('of type %s trains all weights, and the loss falls', async (training_type) => {
    const folder = attemptFolder(job({ training: { training_type }, hyperparameters: { max_steps: '25' } }))
    expect((await runTrainer(folder)).code).toBe(0)
    const losses = metricOf(folder, 'loss').map(([, loss]) => loss)
    expect(losses.at(-1)).toBeLessThan((losses[0] ?? 0) - 1)
    expect(eventsOf(folder, 'artefact')).toMatchObject([{ kind: 'model', path: 'output' }])
    expect(readModel(join(folder, 'output')).hash).not.toBe(readModel(model).hash)
  })

  it.each([
    ['all weights', {}, 'model'],
    ['adapters', { lora_r: '4' }, 'adapter'],
  ])('of type DPO trains %s, and chosen answers become likelier than rejected ones', async (_, given, kind) => {
    const folder = attemptFolder(
      job({
        training: { training_type: 'DPO' },
        hyperparameters: { max_steps: '25', ...given },
        data: { sources: [{ path: preferencesFile(40) }], batch_size: 4, gradient_accumulation_steps: 2 },
      }),
    )
    const { code, stderr } = await runTrainer(folder)
    expect([code, stderr]).toEqual([0, ''])
    const losses = metricOf(folder, 'loss').map(([, loss]) => loss)
    expect(losses[0]).toBeCloseTo(Math.LN2, 3)
    expect(losses.at(-1)).toBeLessThan(0.4)
    const last = (name: string) => metricOf(folder, name).at(-1)?.[1] ?? Number.NaN
    expect(metricOf(folder, 'rewards_margin')[0]?.[1]).toBeCloseTo(0, 3)
    expect(last('rewards_margin')).toBeGreaterThan(1)
    expect(last('rewards_chosen') - last('rewards_rejected')).toBeCloseTo(last('rewards_margin'), 4)
    expect(metricOf(folder, 'eval_loss').map(([, loss]) => loss)).toEqual([expect.closeTo(Math.LN2, 3), expect.any(Number)])
    expect(last('eval_loss')).toBeLessThan(0.4)
    expect(eventsOf(folder, 'evaluation')).toMatchObject([{ base: { perplexity: expect.any(Number) }, samples: [{}, {}] }])
    expect(eventsOf(folder, 'artefact')).toMatchObject([{ kind, path: 'output' }])
    expect(readFileSync(join(folder, 'output/README.md'), 'utf8')).toMatch(/chosen answers[\s\S]*rewards_margin \d/)
  })

  it('without a validation split skips the evaluation', async () => {
    const folder = attemptFolder(job({ data: { validation_split: 0 }, hyperparameters: { max_steps: '2' } }))
    expect((await runTrainer(folder)).code).toBe(0)
    expect(eventsOf(folder, 'phase').map((event) => event.phase)).toEqual(['PREPARING', 'TRAINING', 'EXPORTING'])
    expect(metricOf(folder, 'eval_loss')).toEqual([])
  })

  it('gives the same losses and the same adapter for the same seed', async () => {
    const [one, two, other] = await Promise.all(
      [1, 1, 2].map(async (seed) => {
        const folder = attemptFolder(job({ data: { seed }, hyperparameters: { max_steps: '5' } }))
        await runTrainer(folder)
        return { losses: metricOf(folder, 'loss'), adapter: readFileSync(join(folder, 'output/adapter_model.safetensors')).toString('hex') }
      }),
    )
    expect(two).toEqual(one)
    expect(other?.losses).not.toEqual(one?.losses)
  })

  it('with gradient accumulation learns what a batch that is as many times larger does', async () => {
    const lossesWith = async (batch_size: number, gradient_accumulation_steps: number) => {
      const folder = attemptFolder(job({ data: { batch_size, gradient_accumulation_steps }, hyperparameters: { max_steps: '6' } }))
      await runTrainer(folder)
      return metricOf(folder, 'loss')
    }
    const [accumulated, large] = await Promise.all([lossesWith(2, 4), lossesWith(8, 1)])
    expect(accumulated).toHaveLength(6)
    expect(accumulated).toEqual(large.map(([step, loss]) => [step, expect.closeTo(loss, 3)]))
  })

  it('of a job that cannot run ends with one clear line and a failure that names the field', async () => {
    const folder = attemptFolder(job({ hyperparameters: { lernrate: '1' } }))
    const { code, stderr } = await runTrainer(folder)
    expect(code).toBe(1)
    expect(stderr).toMatch(/^error: training_config\.hyperparameters\.lernrate: .*\n$/)
    expect(eventsOf(folder, 'failure')).toMatchObject([{ class: 'UNKNOWN', field: 'training_config.hyperparameters.lernrate' }])
    expect(readdirSync(folder).sort()).toEqual(['events.jsonl', 'job.json'])
  })

  it('whose data is bad fails with the class DATA, the file and the line', async () => {
    const file = join(temporaryFolder(), 'bad.jsonl')
    writeFileSync(file, '{"text":"fine"}\n\n{"txt":"not"}\n')
    const folder = attemptFolder(job({ data: { sources: [{ path: file }] } }))
    const { code, stderr } = await runTrainer(folder)
    expect(code).toBe(1)
    expect(stderr).toContain('bad.jsonl:3: expected a record')
    expect(eventsOf(folder, 'failure')).toMatchObject([{ class: 'DATA', field: 'data_config.sources[0].path' }])
  })

  it('whose loss is no number any more fails with the first such step and a hint', async () => {
    const folder = attemptFolder(
      job({
        training: { training_type: 'SFT' },
        hyperparameters: { learning_rate: '10', max_grad_norm: '0', max_steps: '200', weight_decay: '10' },
      }),
    )
    const { code, stderr } = await runTrainer(folder)
    expect(code).toBe(1)
    const [failure] = eventsOf(folder, 'failure') as { class: string; first_bad_step: number; hint: string }[]
    expect(failure).toMatchObject({ class: 'NAN_LOSS', hint: expect.stringContaining('learning_rate') })
    expect(failure?.first_bad_step).toBe((metricOf(folder, 'loss').at(-1)?.[0] ?? 0) + 1)
    expect(stderr.trim().split('\n')).toHaveLength(1)
    expect(existsSync(join(folder, 'output'))).toBe(false)
  })

  it('is told where it cannot save, and leaves nothing half-written', async () => {
    const folder = attemptFolder(job({ output: { save_strategy: 'STEPS', save_steps: 2 } }))
    writeFileSync(join(folder, 'checkpoints'), 'in the way')
    const { code, stderr } = await runTrainer(folder)
    expect(code).toBe(1)
    expect(stderr).toMatch(/^error: .*checkpoints[^\n]*\n$/)
    expect(eventsOf(folder, 'checkpoint')).toEqual([])
  })

  it('whose folder is not there ends with a clear line', async () => {
    const { code, stderr } = await startTrainer('/nowhere/at/all').ended
    expect(code).toBe(1)
    expect(stderr).toMatch(/^error: ENOENT: .*\/nowhere\/at\/all/)
  })

  it('started without a job says what is missing', async () => {
    const { code, stderr } = await startTrainer(temporaryFolder()).ended
    expect(code).toBe(1)
    expect(stderr).toMatch(/^error: .*job\.json cannot be read/)
  })
})
