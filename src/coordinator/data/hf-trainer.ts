import { existsSync, readdirSync } from 'node:fs'
import { dirname, isAbsolute, join } from 'node:path'
import { type HfEnvironment, hfEnvironment, hfTrainerFolder, isWhole } from '../../hf-environment.js'
import { trainerSearchPath } from './environment.js'
import type { HfSetup } from './hf-setup.js'
import { findProgram } from './programs.js'

/** How the trainer for real models is started: the operator's settings SCAIMIND_HF_…. */
export interface HfSettings {
  /** SCAIMIND_HF_PYTHON; null: the environment's own, or with a wrapper or modules the `python3` found there. */
  python: string | null
  /** Words before the interpreter's. */
  wrapper: string[]
  /** Environment modules that are loaded first. */
  modules: string[]
  /** Where the environments are. */
  cacheHome: string
  /** The operator's checkout of Megatron-LM, SCAIMIND_MEGATRON_PATH; null: jobs bring their own. */
  megatronPath: string | null
  /** Has the environment made where it is missing, and says how far that is. Default: who operates this makes it. */
  setup?: Pick<HfSetup, 'ask'> | null
  /** Told why it could not be asked about a job before that runs. Default: nobody is. */
  onUnchecked?: (reason: string) => void
  /** The trainer's package. Default: `trainers/hf` of this package. */
  folder?: string
}

/** The command of the trainer for real models. */
export interface HfCommand {
  command: string[]
  searchPath: string[]
  wrapper: string[]
  modules: string[]
}

/** What is lacking, by the field that asks for it: the sentence says what to do about it. */
export interface HfMissing {
  command: null
  field: string
  problem: string
}

/** What a job needs besides the interpreter. */
export interface HfNeeds {
  /** The program that its processes are started by; '' for one that is started as it is. */
  starter: string
  /** Whether it computes with 4-bit weights, for which bitsandbytes is not in the lock file. */
  isQuantized: boolean
}

/**
 * How the trainer for real models is run here, or what is lacking: looked up at each call, since the environment may have been made meanwhile. What is inside a
 * container or set by modules is not looked for.
 */
export async function findHfTrainer(
  { python: given, wrapper, modules, cacheHome, setup, folder = hfTrainerFolder }: HfSettings,
  { starter, isQuantized }: HfNeeds,
  searchPath: string[] = trainerSearchPath,
): Promise<HfCommand | HfMissing> {
  const main = join(folder, 'main.py')
  const lacks = (problem: string, field = 'training_config.base_model.model_id'): HfMissing => ({ command: null, field, problem })
  const [container] = wrapper
  if (container !== undefined && (await findProgram(container, searchPath)) === null) {
    return lacks(`SCAIMIND_HF_WRAPPER begins with ${container}, which is not there.`)
  }
  if (wrapper.length > 0 || modules.length > 0) {
    const python = given ?? 'python3'
    return { command: [python, main], searchPath: withFolderOf(python, searchPath), wrapper, modules }
  }
  const environment = given === null ? ofEnvironment(cacheHome, folder) : null
  const python = given === null ? (environment?.python ?? null) : await findProgram(given, searchPath)
  if (python === null) {
    return lacks(
      given === null
        ? (setup?.ask() ??
            `Its Python packages are not installed: run \`${installCommand}\`, or set SCAIMIND_HF_PYTHON to an interpreter that has them.`)
        : `SCAIMIND_HF_PYTHON names ${given}, which is not there.`,
    )
  }
  const places = withFolderOf(python, searchPath)
  if (starter !== '' && (await findProgram(starter, places)) === null) {
    const how = starter === 'deepspeed' && environment ? `run \`${installCommand} --extra deepspeed\`` : `install it beside ${python}`
    return lacks(`Its processes are started by ${starter}, which is not there: ${how}.`, 'training_config.framework.type')
  }
  if (isQuantized && environment && !hasPackage(environment, 'bitsandbytes')) {
    return lacks(
      `4-bit weights need bitsandbytes, and a CUDA GPU (resource_config.gpu_count): run \`${installCommand} --extra qlora\`.`,
      'training_config.training_type',
    )
  }
  return { command: [python, main], searchPath: places, wrapper, modules }
}

const installCommand = 'scaimind trainers install'

function ofEnvironment(cacheHome: string, folder: string): HfEnvironment | null {
  const environment = hfEnvironment(cacheHome, folder)
  return environment && isWhole(environment) ? environment : null
}

function hasPackage({ folder }: HfEnvironment, name: string): boolean {
  const versions = readdirSync(join(folder, 'lib')).filter((entry) => entry.startsWith('python3'))
  return versions.some((version) => existsSync(join(folder, 'lib', version, 'site-packages', name)))
}

/** A virtual environment has its starters beside the interpreter. */
const withFolderOf = (python: string, searchPath: string[]): string[] =>
  isAbsolute(python) ? [dirname(python), ...searchPath] : searchPath
