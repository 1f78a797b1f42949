import { dirname, extname, isAbsolute } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { FieldProblem } from '../../contract/failure.js'
import { trainerSearchPath } from './environment.js'
import { findHfTrainer, type HfSettings } from './hf-trainer.js'
import { modelKindOf } from './model-kind.js'
import { findProgram, isExecutable, isFile } from './programs.js'

/** What decides which trainer runs a job. Paths have been resolved by `resolveAllowedPath`. */
export interface TrainerChoice {
  /** `scaimind/…`, a HuggingFace id, or the real path of a local model. */
  modelId: string
  /** Empty or UNSPECIFIED: HF_TRAINER. */
  frameworkType: string
  /** For CUSTOM: the real path of the script. */
  customScriptPath: string
  /** Processes that train together, on all nodes. Default 1. */
  processes?: number
  /** Whether it computes with 4-bit weights. Default false. */
  isQuantized?: boolean
}

/** The settings that a trainer's command depends on. */
export interface TrainerSettings {
  /** The interpreter of scripts that end in .py: SCAIMIND_PYTHON. An absolute path, or a name. */
  python: string
  /** How the trainer for HuggingFace models is started. Default: there is none. */
  hf?: HfSettings
  /** The operator's own training programs by FrameworkType: SCAIMIND_TRAINERS. Default: none. */
  programs?: ReadonlyMap<string, string>
  /** Folders in which programs that are given by name are looked for. Default: the PATH that trainers get. */
  searchPath?: string[]
  /** The Node program. Default: the one that runs this process. */
  nodeBinary?: string
  /** The built embedded trainer. Default: `dist/trainer/main.js` of this package. */
  embeddedPath?: string
  /** How long its check of a job may take. Default: 10 s. */
  checkTimeoutMs?: number
}

/** What runs a job: the embedded trainer, the one for HuggingFace models (`hf`), the tenant's own script, or the operator's program for its framework. */
export type TrainerKind = 'embedded' | 'hf' | 'custom' | 'program'

/** How a trainer is run. */
export interface Trainer {
  kind: TrainerKind
  /** Program and arguments. */
  command: string[]
  /** The FrameworkType whose starter runs the command; '' where it is run as it is. */
  framework: string
  /** The folders of its PATH. For the operator's program that of SCAIMIND_PYTHON too, where a virtual environment has its starters. */
  searchPath: string[]
  /** Words before the starter and the command. Default: none. */
  wrapper?: string[]
  /** Environment modules that are loaded before. Default: none. */
  modules?: string[]
}

/** Which trainer a job is for, whether or not it can be run here. `program`: its path, '' for the others. */
export async function chooseTrainer(
  { modelId, frameworkType }: Pick<TrainerChoice, 'modelId' | 'frameworkType'>,
  { programs }: Pick<TrainerSettings, 'programs'>,
): Promise<{ kind: TrainerKind; program: string }> {
  if (frameworkType === 'CUSTOM') return { kind: 'custom', program: '' }
  const framework = frameworkOf(frameworkType)
  const kind = await modelKindOf(modelId)
  // Models of the embedded trainer stay with it under HF_TRAINER; a folder that does not say whose it is, it judges. Those of Megatron-LM say nothing.
  const isEmbedded = kind === 'embedded' || (kind === 'unclear' && isAbsolute(modelId) && framework === 'HF_TRAINER')
  const program = framework === 'HF_TRAINER' && isEmbedded ? undefined : programs?.get(framework)
  if (program !== undefined) return { kind: 'program', program }
  return { kind: kind === 'hf' || (kind === 'unclear' && isAbsolute(modelId) && !isEmbedded) ? 'hf' : 'embedded', program: '' }
}

/** The trainer of a job, or what is wrong with the fields that name it. */
export async function findTrainer(
  choice: TrainerChoice,
  settings: TrainerSettings,
): Promise<{ trainer: Trainer; problems: [] } | { trainer: null; problems: FieldProblem[] }> {
  const framework = frameworkOf(choice.frameworkType)
  const { kind, program } = await chooseTrainer(choice, settings)
  switch (kind) {
    case 'custom':
      return customTrainer(choice.customScriptPath, settings)
    case 'program':
      return programTrainer(framework, program, settings)
    case 'hf':
      return hfTrainer(choice, framework, settings)
    case 'embedded':
      if (framework === 'HF_TRAINER') return { trainer: embeddedTrainer(settings), problems: [] }
      return refuse(
        'type',
        `${choice.modelId} is trained by the embedded trainer, which is not ${framework}: leave the type empty. ${operatorMaySet}`,
      )
  }
}

/** The embedded trainer, started as it is. */
export const embeddedTrainer = (settings: TrainerSettings): Trainer => ({
  kind: 'embedded',
  command: embeddedCommand(settings),
  framework: '',
  searchPath: trainerSearchPath,
})

const operatorMaySet = 'The operator sets a program for a framework by SCAIMIND_TRAINERS.'

const frameworkOf = (frameworkType: string) => (['', 'FRAMEWORK_TYPE_UNSPECIFIED'].includes(frameworkType) ? 'HF_TRAINER' : frameworkType)

// Three folders up from here is the package, in `src` and in `dist`.
const builtTrainer = fileURLToPath(new URL('../../../dist/trainer/main.js', import.meta.url))

/** Program and arguments of the embedded trainer. */
export function embeddedCommand({ nodeBinary = process.execPath, embeddedPath = builtTrainer }: TrainerSettings): string[] {
  return [nodeBinary, embeddedPath]
}

async function hfTrainer({ modelId, processes = 1, isQuantized = false }: TrainerChoice, framework: string, settings: TrainerSettings) {
  const no = (path: string, problem: string) => {
    const message = `${modelId} is trained by the trainer for HuggingFace models. ${problem}`
    return { trainer: null, problems: [{ path, message }] }
  }
  if (!settings.hf) return no('training_config.base_model.model_id', `This coordinator has none. ${operatorMaySet}`)
  // One process needs nobody that starts others, unless its framework is more than that.
  const startedBy = framework === 'HF_TRAINER' && processes === 1 ? '' : framework
  const starter = startedBy === '' ? '' : (starters[framework] ?? 'torchrun')
  const found = await findHfTrainer(settings.hf, { starter, isQuantized }, settings.searchPath)
  if (!found.command) return no(found.field, found.problem)
  return { trainer: { kind: 'hf' as const, framework: startedBy, ...found }, problems: [] as [] }
}

const starters: Record<string, string> = { FSDP: 'accelerate', DEEPSPEED: 'deepspeed' }

async function customTrainer(script: string, settings: TrainerSettings) {
  if (script === '') return refuse('custom_script_path', 'A CUSTOM job needs a script.')
  const found = await commandOf(script, settings)
  if (!found.command) return refuse('custom_script_path', found.problem)
  return { trainer: { kind: 'custom' as const, command: found.command, framework: '', searchPath: trainerSearchPath }, problems: [] as [] }
}

async function programTrainer(framework: string, program: string, settings: TrainerSettings) {
  const found = await commandOf(program, settings)
  if (!found.command) return refuse('type', `The program for ${framework} cannot be run: ${found.problem} ${operatorMaySet}`)
  const searchPath = isAbsolute(settings.python) ? [dirname(settings.python), ...trainerSearchPath] : trainerSearchPath
  return { trainer: { kind: 'program' as const, command: found.command, framework, searchPath }, problems: [] as [] }
}

const refuse = (field: string, message: string) => ({ trainer: null, problems: [{ path: `training_config.framework.${field}`, message }] })

/** How a script is run, by its ending, or why it cannot be. */
async function commandOf(
  script: string,
  { python, searchPath = trainerSearchPath, nodeBinary = process.execPath }: TrainerSettings,
): Promise<{ command: string[] } | { command: null; problem: string }> {
  const no = (problem: string) => ({ command: null, problem })
  if (!(await isFile(script))) return no(`${script} is not a file.`)
  const ending = extname(script)
  if (['.js', '.mjs', '.cjs'].includes(ending)) return { command: [nodeBinary, script] }
  if (ending === '.py') {
    const interpreter = await findProgram(python, searchPath)
    return interpreter
      ? { command: [interpreter, script] }
      : no(`There is no ${python} for scripts that end in .py; the operator sets it by SCAIMIND_PYTHON.`)
  }
  if (await isExecutable(script)) return { command: [script] }
  return no(`${script} ends neither in .py nor in .js or .mjs, and is not executable.`)
}
