import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { root, runQuietly, step } from './steps.mjs'

/** Installs the packages that package-lock.json names, where node_modules does not hold exactly these yet. */
export async function installDependencies() {
  if (dependenciesAreInstalled()) return
  // npm tells the scripts that it runs where it is itself, so that the same npm is used.
  const npm = process.env.npm_execpath?.endsWith('.js') ? [process.execPath, process.env.npm_execpath] : ['npm']
  await step('Installing packages (npm ci)', async () => {
    await runQuietly(npm[0], [...npm.slice(1), 'ci', '--no-audit', '--no-fund', '--loglevel=error'])
  })
}

/** Compares the versions in package-lock.json with those that npm wrote down when it last installed. */
function dependenciesAreInstalled() {
  const installedPath = join(root, 'node_modules', '.package-lock.json')
  if (!existsSync(installedPath)) return false
  const wanted = readJson(join(root, 'package-lock.json')).packages ?? {}
  const installed = readJson(installedPath).packages ?? {}
  return Object.entries(wanted).every(([path, entry]) => {
    if (path === '') return true
    const present = installed[path]
    // Packages for other systems are optional and rightly absent.
    if (present === undefined) return entry.optional === true || entry.devOptional === true || entry.peer === true
    return present.version === entry.version && present.integrity === entry.integrity
  })
}

function readJson(path) {
  return JSON.parse(readFileSync(path, 'utf8'))
}
