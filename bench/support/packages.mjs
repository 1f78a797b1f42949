import { execFileSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join, resolve } from 'node:path'

const folder = resolve(import.meta.dirname, '..')
const root = resolve(folder, '..')

/** Builds what is measured, and installs what it is compared with, on the first use of either. */
export function prepare() {
  const stdio = ['ignore', 'ignore', 'inherit']
  execFileSync(process.execPath, [join(root, 'scripts/build.mjs')], { cwd: root, stdio })
  if (existsSync(join(folder, 'node_modules/.package-lock.json'))) return
  process.stderr.write('Installing the packages that are compared with …\n')
  execFileSync('npm', ['ci', '--no-audit', '--no-fund', '--loglevel=error'], { cwd: folder, stdio })
}
