import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { answers, runQuietly, step } from './steps.mjs'

const packages = ['slurmctld', 'slurmd', 'slurm-client', 'munge']
const programs = ['slurmctld', 'slurmd', 'sbatch', 'munged']

/**
 * Sees to it that the tests have a Slurm to run, where it may be installed: as root, with apt-get. Elsewhere those tests are skipped, and say so. Only tests start it.
 */
export async function provideSlurm() {
  if (process.platform !== 'linux' || process.getuid?.() !== 0 || !answers('apt-get')) return
  if (programs.every(isThere)) return
  await step('Installing Slurm for the tests (apt-get)', async () => {
    // A new package's daemons must not start by themselves: the tests start their own.
    const env = { DEBIAN_FRONTEND: 'noninteractive', RUNLEVEL: '1' }
    // One source of packages that is broken must not stop the others: the installation says what is really missing.
    await runQuietly('apt-get', ['update', '-q'], { env }).catch(() => undefined)
    try {
      await runQuietly('apt-get', ['install', '--no-install-recommends', '-y', '-q', ...packages], { env })
    } catch (error) {
      if (process.env.CI) throw error
      return 'not to be had; its tests are skipped'
    }
  })
}

/** Slurm's own `--version` wants a configuration. */
function isThere(program) {
  return ['/usr/local/sbin', '/usr/local/bin', '/usr/sbin', '/usr/bin'].some((folder) => existsSync(join(folder, program)))
}
