import { existsSync } from 'node:fs'
import { dirname, isAbsolute, join } from 'node:path'
import { hfEnvironment, hfTrainerFolder } from '../../hf-environment.js'
import { trainerSearchPath } from './environment.js'
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

/** What is lacking: the sentence says what to do about it. */
export interface HfMissing {
  command: null
  problem: string
}

/**
 * How the trainer for real models is run here, or what is lacking: looked up at each call, since the environment may have been made meanwhile. `starter` is a program that
 * it is started by besides (torchrun, accelerate, deepspeed), to be looked for where the interpreter is. What is inside a container or set by modules is not looked for.
 */
export async function findHfTrainer(
  { python: given, wrapper, modules, cacheHome, folder = hfTrainerFolder }: HfSettings,
  { starter = '', searchPath = trainerSearchPath }: { starter?: string; searchPath?: string[] } = {},
): Promise<HfCommand | HfMissing> {
  const main = join(folder, 'main.py')
  const lacks = (problem: string): HfMissing => ({ command: null, problem })
  const [container] = wrapper
  if (container !== undefined && (await findProgram(container, searchPath)) === null) {
    return lacks(`SCAIMIND_HF_WRAPPER begins with ${container}, which is not there.`)
  }
  const isElsewhere = wrapper.length > 0 || modules.length > 0
  if (isElsewhere) {
    const python = given ?? 'python3'
    return { command: [python, main], searchPath: withFolderOf(python, searchPath), wrapper, modules }
  }
  const python = given === null ? ofEnvironment(cacheHome, folder) : await findProgram(given, searchPath)
  if (python === null) {
    return lacks(
      given === null
        ? `Its Python packages are not installed: run \`${installCommand}\`, or set SCAIMIND_HF_PYTHON to an interpreter that has them.`
        : `SCAIMIND_HF_PYTHON names ${given}, which is not there.`,
    )
  }
  const places = withFolderOf(python, searchPath)
  if (starter !== '' && (await findProgram(starter, places)) === null) {
    const how = starter === 'deepspeed' && given === null ? `run \`${installCommand} --extra deepspeed\`` : `install it beside ${python}`
    return lacks(`It is started by ${starter}, which is not there: ${how}.`)
  }
  return { command: [python, main], searchPath: places, wrapper, modules }
}

const installCommand = 'scaimind trainers install'

function ofEnvironment(cacheHome: string, folder: string): string | null {
  const environment = hfEnvironment(cacheHome, folder)
  return environment && existsSync(environment.marker) ? environment.python : null
}

/** A virtual environment has its starters beside the interpreter. */
const withFolderOf = (python: string, searchPath: string[]): string[] =>
  isAbsolute(python) ? [dirname(python), ...searchPath] : searchPath
