import { execFile } from 'node:child_process'
import { access, constants, readFile, stat } from 'node:fs/promises'
import { dirname, extname, isAbsolute, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { z } from 'zod'
import type { FieldProblem } from '../../contract/failure.js'
import { trainerSearchPath } from './environment.js'

/** What decides which trainer runs a job. Paths have been resolved by `resolveAllowedPath`. */
export interface TrainerChoice {
  /** `scaimind/…`, or the real path of a local model. */
  modelId: string
  /** Empty or UNSPECIFIED: HF_TRAINER. */
  frameworkType: string
  /** For CUSTOM: the real path of the script. */
  customScriptPath: string
}

/** The settings that a trainer's command depends on. */
export interface TrainerSettings {
  /** The interpreter of scripts that end in .py: SCAIMIND_PYTHON. An absolute path, or a name. */
  python: string
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

/** What runs a job: the embedded trainer, the tenant's own script, or the operator's program for its framework. */
export interface Trainer {
  kind: 'embedded' | 'custom' | 'program'
  /** Program and arguments. */
  command: string[]
  /** The FrameworkType whose starter runs the command; '' where it is run as it is. */
  framework: string
  /** The folders of its PATH. For the operator's program that of SCAIMIND_PYTHON too, where a virtual environment has its starters. */
  searchPath: string[]
}

/** The trainer of a job, or what is wrong with the fields that name it. */
export async function findTrainer(
  { modelId, frameworkType, customScriptPath }: TrainerChoice,
  settings: TrainerSettings,
): Promise<{ trainer: Trainer; problems: [] } | { trainer: null; problems: FieldProblem[] }> {
  if (frameworkType === 'CUSTOM') return customTrainer(customScriptPath, settings)
  const program = await operatorProgram({ modelId, frameworkType }, settings)
  if (program !== null) return programTrainer(frameworkOf(frameworkType), program, settings)
  const problems: FieldProblem[] = []
  if (frameworkOf(frameworkType) !== 'HF_TRAINER') {
    const message = `This coordinator has no trainer for ${frameworkType}; leave the type empty, or give CUSTOM and a script. ${operatorMaySet}`
    problems.push({ path: 'training_config.framework.type', message })
  }
  if (!(await isEmbeddedModel(modelId))) {
    const message = `This coordinator has no trainer for ${JSON.stringify(modelId)}; it trains scaimind/byte-tiny and models saved by such jobs. ${operatorMaySet}`
    problems.push({ path: 'training_config.base_model.model_id', message })
  }
  if (problems.length > 0) return { trainer: null, problems }
  return { trainer: { kind: 'embedded', command: embeddedCommand(settings), framework: '', searchPath: trainerSearchPath }, problems: [] }
}

const operatorMaySet = 'The operator sets a program for a framework by SCAIMIND_TRAINERS.'

/** The operator's program that trains a job, a path; null where it is for another trainer. Models of the embedded trainer stay with it under HF_TRAINER. */
export async function operatorProgram(
  { modelId, frameworkType }: Pick<TrainerChoice, 'modelId' | 'frameworkType'>,
  { programs }: Pick<TrainerSettings, 'programs'>,
): Promise<string | null> {
  const framework = frameworkOf(frameworkType)
  const program = programs?.get(framework)
  return program === undefined || (framework === 'HF_TRAINER' && (await isEmbeddedModel(modelId))) ? null : program
}

const frameworkOf = (frameworkType: string) => (['', 'FRAMEWORK_TYPE_UNSPECIFIED'].includes(frameworkType) ? 'HF_TRAINER' : frameworkType)

/** A source of data, as counted by the trainer. */
export interface CheckedSource {
  source: number
  records: number
  bytes: number
  tokens: number
}

/** What a trainer says about a job that it has not started. */
export interface TrainerCheck {
  problems: FieldProblem[]
  data: CheckedSource[]
  /** Null where the trainer did not say. */
  totalSteps: number | null
}

/** The trainer did not answer in time: there is more data than can be read through while a caller waits. */
export class TrainerTooSlow extends Error {}

/** Asks the embedded trainer whether it would run a `job.json`: configuration, model and every line of the data. Starts no training. Throws TrainerTooSlow where it does not answer in time. */
export async function validateWithTrainer(job: unknown, settings: TrainerSettings): Promise<TrainerCheck> {
  const [program = '', ...words] = embeddedCommand(settings)
  const { checkTimeoutMs = 10_000 } = settings
  const limits = { timeout: checkTimeoutMs, killSignal: 'SIGKILL', maxBuffer: 4 * 2 ** 20 } as const
  const answer = await new Promise<string>((done, failed) => {
    const child = execFile(program, [...words, '--validate'], { ...limits, env: { TZ: 'UTC' } }, (error, stdout, stderr) => {
      if (!error) return done(stdout)
      if (error.killed) return failed(new TrainerTooSlow(`The trainer did not answer within ${checkTimeoutMs} ms.`))
      failed(new Error(`The trainer's check of the job failed: ${stderr.trim().slice(-500) || error.message}.`, { cause: error }))
    })
    // It may end before it has read all; its answer tells.
    child.stdin?.on('error', () => {})
    child.stdin?.end(JSON.stringify(job))
  })
  const { problems, data, total_steps: totalSteps = null } = checkShape.parse(JSON.parse(answer))
  return { problems, data, totalSteps }
}

const checkShape = z.object({
  problems: z.array(z.object({ path: z.string(), message: z.string() })),
  data: z.array(z.object({ source: z.number(), records: z.number(), bytes: z.number(), tokens: z.number() })),
  total_steps: z.number().nullish(),
})

// Three folders up from here is the package, in `src` and in `dist`.
const builtTrainer = fileURLToPath(new URL('../../../dist/trainer/main.js', import.meta.url))

/** Program and arguments of the embedded trainer. */
export function embeddedCommand({ nodeBinary = process.execPath, embeddedPath = builtTrainer }: TrainerSettings): string[] {
  return [nodeBinary, embeddedPath]
}

/** Whether the model is for the embedded trainer to judge: shipped, or a folder that is not clearly another's. */
async function isEmbeddedModel(modelId: string): Promise<boolean> {
  if (!isAbsolute(modelId)) return /^scaimind\/[A-Za-z0-9._-]+$/.test(modelId)
  try {
    const config = JSON.parse(await readFile(join(modelId, 'config.json'), 'utf8')) as { model_type?: unknown }
    return config.model_type === 'scaimind_byte'
  } catch {
    return true
  }
}

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

async function findProgram(name: string, searchPath: string[]): Promise<string | null> {
  const places = isAbsolute(name) ? [name] : searchPath.map((folder) => join(folder, name))
  for (const place of places) if ((await isFile(place)) && (await isExecutable(place))) return place
  return null
}

const isFile = (path: string) =>
  stat(path).then(
    (found) => found.isFile(),
    () => false,
  )

const isExecutable = (path: string) =>
  access(path, constants.X_OK).then(
    () => true,
    () => false,
  )
