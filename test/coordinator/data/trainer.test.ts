import { chmodSync, mkdirSync, mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { readCoordinatorConfig } from '../../../src/config.js'
import type { HfSettings } from '../../../src/coordinator/data/hf-trainer.js'
import { findTrainer, type Trainer, type TrainerChoice } from '../../../src/coordinator/data/trainer.js'
import { validateWithHfTrainer, validateWithTrainer } from '../../../src/coordinator/data/trainer-check.js'
import { requireEngine } from '../../../src/coordinator/engine-choice.js'
import { hfEnvironment } from '../../../src/hf-environment.js'

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

  it('is not the embedded one for frameworks that it is not', async () => {
    for (const frameworkType of ['DEEPSPEED', 'FSDP', 'MEGATRON']) {
      expect(await find({ frameworkType })).toMatchObject({
        trainer: null,
        problems: [{ path: 'training_config.framework.type', message: expect.stringMatching(/embedded trainer.*SCAIMIND_TRAINERS/) }],
      })
    }
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
    expect(await ask('MEGATRON', 'x/y')).toMatchObject({ problems: [{ message: expect.stringContaining('SCAIMIND_TRAINERS') }] })
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

describe('The trainer for real models', () => {
  const python = join(folder, 'env', 'python')
  mkdirSync(join(folder, 'env'))
  for (const name of ['python', 'torchrun', 'accelerate']) writeFileSync(join(folder, 'env', name), '', { mode: 0o755 })
  const installed = join(folder, 'hf')
  mkdirSync(installed)
  const hf = { python, wrapper: [], modules: [], cacheHome: join(folder, 'cache'), megatronPath: null, folder: installed }
  const ask = (choice: Partial<TrainerChoice> = {}, changed: Partial<HfSettings> = {}) =>
    findTrainer(
      { modelId: 'Qwen/Qwen3-0.6B', frameworkType: '', customScriptPath: '', ...choice },
      { ...settings, hf: { ...hf, ...changed } },
    )
  const main = join(installed, 'main.py')

  it('runs HuggingFace ids and folders of such models as they are, in one process', async () => {
    const own = { trainer: { kind: 'hf', command: [python, main], framework: '' }, problems: [] }
    expect(await ask()).toMatchObject(own)
    expect(await ask({ modelId: 'gpt2', frameworkType: 'HF_TRAINER', processes: 1 })).toMatchObject(own)
    file('config.json', '{"model_type": "llama"}')
    expect(await ask({ modelId: folder })).toMatchObject(own)
  })

  it('is started by its framework where several processes train, or the framework wants it', async () => {
    const found = await ask({ processes: 2 })
    expect(found).toMatchObject({ trainer: { framework: 'HF_TRAINER' } })
    expect(found.trainer?.searchPath[0]).toBe(join(folder, 'env'))
    expect(await ask({ frameworkType: 'FSDP' })).toMatchObject({ trainer: { kind: 'hf', framework: 'FSDP' } })
    expect(await ask({ frameworkType: 'DEEPSPEED' })).toMatchObject({ problems: [{ message: expect.stringContaining('deepspeed') }] })
  })

  it('is that of the environment that is made for the lock file, once it is whole', async () => {
    writeFileSync(join(installed, 'requirements.lock'), 'torch==2.15.0\n')
    const environment = hfEnvironment(hf.cacheHome, installed)
    expect(environment?.folder).toMatch(/cache\/scaimind\/venv-[0-9a-f]{12}$/)
    mkdirSync(environment?.folder ?? '', { recursive: true })
    expect(await ask({}, { python: null })).toEqual({
      trainer: null,
      problems: [{ path: 'training_config.base_model.model_id', message: expect.stringMatching(/Qwen.*run `scaimind trainers install`/) }],
    })
    mkdirSync(join(environment?.folder ?? '', 'bin'))
    for (const file of [environment?.python, environment?.marker]) writeFileSync(file ?? '', '')
    expect(await ask({}, { python: null })).toMatchObject({ trainer: { command: [environment?.python, main] } })
  })

  it('is run in a container or with modules, where nothing of it is looked for here', async () => {
    const inContainer = await ask({}, { python: null, wrapper: ['env', 'exec', 'hf.sif'] })
    expect(inContainer).toMatchObject({ trainer: { wrapper: ['env', 'exec', 'hf.sif'], command: ['python3', main] } })
    const withModules = await ask({ frameworkType: 'DEEPSPEED' }, { python: null, modules: ['python/3.12'] })
    expect(withModules).toMatchObject({ trainer: { modules: ['python/3.12'], command: ['python3', main] } })
    expect(await ask({}, { wrapper: ['no-such-apptainer'] })).toMatchObject({
      problems: [{ message: expect.stringContaining('SCAIMIND_HF_WRAPPER begins with no-such-apptainer') }],
    })
  })

  it('is named by settings that are refused at the start where they cannot be right', () => {
    const read = (more: Record<string, string>) =>
      readCoordinatorConfig({ SCAIMIND_API_SECRET: '0123456789abcdef', COORDINATOR_DATABASE_URL: 'mysql://localhost/x', ...more })
    const container = read({ SCAIMIND_HF_WRAPPER: `apptainer exec --bind "/data/my models" '/images/hf.sif'` })
    expect(container.SCAIMIND_HF_WRAPPER).toEqual(['apptainer', 'exec', '--bind', '/data/my models', '/images/hf.sif'])
    expect(() => read({ SCAIMIND_HF_WRAPPER: 'apptainer "exec' })).toThrow('SCAIMIND_HF_WRAPPER: has a quote that is not closed')
    expect(() => read({ SCAIMIND_HF_MODULES: 'python/3.12 $(reboot)' })).toThrow('"$(reboot)" is not the name of a module')
    const modules = { SCAIMIND_HF_MODULES: 'python/3.12 cuda/13.0' }
    expect(() => requireEngine(read(modules))).toThrow(/^SCAIMIND_HF_MODULES: .*SCAIMIND_ENGINE=slurm/)
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
    expect(check.data).toMatchObject([{ source: 0, records: 1 }])
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

describe('The check of a job by the trainer for HuggingFace models', () => {
  const told: string[] = []
  const hf = {
    python: null,
    wrapper: [],
    modules: [],
    cacheHome: folder,
    megatronPath: null,
    onUnchecked: (reason: string) => void told.push(reason),
  }
  const ask = (text: string, more: Partial<Trainer> = {}, checkTimeoutMs = 5000) => {
    const trainer: Trainer = {
      kind: 'hf',
      command: [process.execPath, file('check.mjs', text)],
      framework: '',
      searchPath: ['/usr/bin', '/bin'],
    }
    return validateWithHfTrainer({}, { ...trainer, ...more }, { ...settings, hf, checkTimeoutMs })
  }

  it('is made in an environment that holds nothing of the coordinator, through what wraps its interpreter', async () => {
    const answer =
      'console.log(JSON.stringify({ problems: [{ path: process.argv[2], message: Object.keys(process.env).sort().join() }], data: [] }))'
    const check = await ask(answer, { wrapper: ['env', 'WRAPPED=1'] })
    expect(check?.problems).toEqual([{ path: '--check', message: 'HF_HUB_OFFLINE,LANG,OMP_NUM_THREADS,PATH,TZ,WRAPPED' }])
  })

  it.each([
    ['cannot be started', '', { command: ['/no/such/python'] }, /ENOENT/],
    ['fails', 'throw new Error("no numpy")', {}, /no numpy/],
    ['answers something else', 'console.log("{}")', {}, /answered "\{\}/],
    ['is had on the nodes only', '', { modules: ['python/3.12'] }, /nodes only/],
  ])('is left to the job where its interpreter %s, and it is told why', async (_, text, more, reason) => {
    expect(await ask(text, more)).toBeNull()
    expect(told.at(-1)).toMatch(reason)
  })

  it('is given up where it takes too long', async () => {
    await expect(ask('setInterval(() => {}, 1000)', {}, 300)).rejects.toThrow('did not answer within 300 ms')
  })
})
