import { spawnSync } from 'node:child_process'
import { answers, runQuietly, SetupError, step } from './steps.mjs'

const names = ['python3', 'python3.13', 'python3.12', 'python3.11', 'python3.10']

/** The name of a Python that can make virtual environments, 3.10 or newer; installed where that may be done. */
export async function providePython() {
  const found = findPython()
  if (found !== undefined) return found
  const packages = ['python3', 'python3-venv']
  const ask = new SetupError(
    `There is no Python, 3.10 or newer, that makes virtual environments. On Debian: sudo apt-get install ${packages.join(' ')}`,
  )
  if (process.platform !== 'linux' || !answers('apt-get') || process.getuid?.() !== 0) throw ask
  await step('Installing Python (apt-get)', async () => {
    const env = { DEBIAN_FRONTEND: 'noninteractive' }
    // One source of packages that is broken must not stop the others: the installation says what is really missing.
    await runQuietly('apt-get', ['update', '-q'], { env }).catch(() => undefined)
    await runQuietly('apt-get', ['install', '--no-install-recommends', '-y', '-q', ...packages], { env })
  })
  const installed = findPython()
  if (installed === undefined) throw ask
  return installed
}

function findPython() {
  const canDo = 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 10))'
  return names.find((name) => spawnSync(name, ['-c', canDo], { stdio: 'ignore' }).status === 0)
}
