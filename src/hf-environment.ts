import { createHash } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** The trainer for real models: a Python package, the same folder from `src` and from `dist`. */
export const hfTrainerFolder = fileURLToPath(new URL('../trainers/hf', import.meta.url))

/** Where the Python packages are that the trainer for real models runs on: one virtual environment for each lock file. */
export interface HfEnvironment {
  folder: string
  /** The interpreter in it. */
  python: string
  /** What is installed, every package with its version. */
  lockFile: string
  /** Written last when the environment was made: without it, it is not whole. */
  marker: string
}

/** The environment for the lock file of this package, whether or not it has been made; null where the package came without a lock file. */
export function hfEnvironment(cacheHome: string, trainerFolder = hfTrainerFolder): HfEnvironment | null {
  const lockFile = join(trainerFolder, 'requirements.lock')
  if (!existsSync(lockFile)) return null
  const hash = createHash('sha256').update(readFileSync(lockFile)).digest('hex')
  const folder = join(cacheHome, 'scaimind', `venv-${hash.slice(0, 12)}`)
  return { folder, python: join(folder, 'bin', 'python'), lockFile, marker: join(folder, '.scaimind-complete') }
}

/** Whether an environment was made to its end and its interpreter is still there: that is a link to the Python it was made with, which may have been replaced since. */
export const isWhole = ({ marker, python }: Pick<HfEnvironment, 'marker' | 'python'>): boolean => existsSync(marker) && existsSync(python)
