import { chmodSync, mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { readCoordinatorConfig } from '../../../src/config.js'
import { findTrainer, validateWithTrainer } from '../../../src/coordinator/data/trainer.js'

const folder = mkdtempSync(join(tmpdir(), 'scaimind-trainer-'))
const settings = { python: '/bin/sh' }
const find = (choice: { modelId?: string; frameworkType?: string; customScriptPath?: string }) =>
  findTrainer({ modelId: 'scaimind/byte-tiny', frameworkType: '', customScriptPath: '', ...choice }, settings)
function file(name: string, text = ''): string {
  writeFileSync(join(folder, name), text)
  return join(folder, name)
}

describe('The trainer of a job', () => {
  it('is the embedded one for models of ours', async () => {
    const embedded = {
      trainer: { kind: 'embedded', command: [process.execPath, expect.stringMatching(/dist\/trainer\/main\.js$/)], framework: '' },
      problems: [],
    }
    expect(await find({})).toMatchObject(embedded)
    expect(await find({ frameworkType: 'HF_TRAINER' })).toMatchObject(embedded)
    file('config.json', '{"model_type": "scaimind_byte"}')
    expect(await find({ modelId: folder })).toMatchObject(embedded)
  })

  it('is not there for other models and frameworks; both are named', async () => {
    expect(await find({ modelId: 'meta-llama/Llama-3.1-8B', frameworkType: 'DEEPSPEED' })).toMatchObject({
      trainer: null,
      problems: [{ path: 'training_config.framework.type' }, { path: 'training_config.base_model.model_id' }],
    })
    file('config.json', '{"model_type": "llama"}')
    expect(await find({ modelId: folder })).toMatchObject({ problems: [{ message: expect.stringContaining('no trainer for') }] })
  })

  it("is the operator's program for the framework, for any model but the embedded trainer's own under HF_TRAINER", async () => {
    const program = file('operators.py')
    const { SCAIMIND_TRAINERS: programs } = readCoordinatorConfig({
      SCAIMIND_API_SECRET: '0123456789abcdef',
      COORDINATOR_DATABASE_URL: 'mysql://localhost/x',
      SCAIMIND_TRAINERS: `HF_TRAINER=${program},FSDP=${program},DEEPSPEED=/no/such/program`,
    })
    const ask = (frameworkType: string, modelId: string) =>
      findTrainer({ frameworkType, modelId, customScriptPath: '' }, { ...settings, programs })
    for (const [type, framework] of [
      ['FSDP', 'FSDP'],
      ['HF_TRAINER', 'HF_TRAINER'],
      ['', 'HF_TRAINER'],
    ] as const) {
      const found = await ask(type, 'meta-llama/Llama-3.1-8B')
      expect(found).toMatchObject({ trainer: { kind: 'program', command: ['/bin/sh', program], framework }, problems: [] })
      expect(found.trainer?.searchPath.slice(0, 2)).toEqual(['/bin', '/usr/local/bin'])
    }
    expect(await ask('', 'scaimind/byte-tiny')).toMatchObject({ trainer: { kind: 'embedded' } })
    expect(await ask('DEEPSPEED', 'x/y')).toMatchObject({
      problems: [{ path: 'training_config.framework.type', message: expect.stringMatching(/not a file\..*SCAIMIND_TRAINERS/) }],
    })
    expect(await ask('MEGATRON', 'x/y')).toMatchObject({ problems: [{ message: expect.stringContaining('SCAIMIND_TRAINERS') }, {}] })
  })

  it.each(['CUSTOM=/x', 'FSDP=relative.py', 'TPU=/x', 'FSDP'])('is not set by %s', (text) => {
    expect(() => readCoordinatorConfig({ SCAIMIND_TRAINERS: text })).toThrow(`"${text}" must read framework=/path/of/program`)
  })

  it('is the script of a CUSTOM job', async () => {
    const custom = (customScriptPath: string) => find({ frameworkType: 'CUSTOM', customScriptPath })
    const python = file('train.py')
    expect(await custom(python)).toMatchObject({ trainer: { kind: 'custom', command: ['/bin/sh', python], framework: '' }, problems: [] })
    const node = file('train.mjs')
    expect(await custom(node)).toMatchObject({ trainer: { command: [process.execPath, node] } })
    const program = file('train')
    expect(await custom(program)).toMatchObject({ problems: [{ message: expect.stringContaining('not executable') }] })
    chmodSync(program, 0o755)
    expect(await custom(program)).toMatchObject({ trainer: { command: [program] } })
    expect(await custom('')).toMatchObject({ problems: [{ path: 'training_config.framework.custom_script_path' }] })
    expect(await custom(folder)).toMatchObject({ problems: [{ message: expect.stringContaining('not a file') }] })
    const found = await findTrainer(
      { modelId: '', frameworkType: 'CUSTOM', customScriptPath: python },
      { python: 'train', searchPath: [folder] },
    )
    expect(found.trainer?.command).toEqual([program, python])
    const noPython = await findTrainer({ modelId: '', frameworkType: 'CUSTOM', customScriptPath: python }, { python: 'no-such-python' })
    expect(noPython).toMatchObject({ problems: [{ message: expect.stringContaining('SCAIMIND_PYTHON') }] })
  })
})

describe("The trainer's check of a job", () => {
  it('names what is wrong, and counts the data', async () => {
    const job = {
      version: 1,
      training_config: { training_type: 'LORA', base_model: { model_id: 'scaimind/byte-tiny' }, hyperparameters: { nonsense: '1' } },
      data_config: { sources: [{ path: file('train.txt', 'some text\nand more\n') }] },
    }
    const check = await validateWithTrainer(job, settings)
    expect(check.problems.map(({ path }) => path)).toContain('training_config.hyperparameters.nonsense')
    expect(check.data).toMatchObject([{ source: 0, bytes: 19 }])
  })

  it('is given up where it takes too long or fails', async () => {
    const slow = file('slow.mjs', 'setInterval(() => {}, 1000)')
    await expect(validateWithTrainer({}, { ...settings, embeddedPath: slow, checkTimeoutMs: 200 })).rejects.toThrow(
      'did not answer within 200 ms',
    )
    const broken = file('broken.mjs', 'throw new Error("broken")')
    await expect(validateWithTrainer({}, { ...settings, embeddedPath: broken })).rejects.toThrow('broken')
  })
})
