import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { answers, root, runQuietly, SetupError, step } from './steps.mjs'

const packages = ['mariadb-server-core', 'mariadb-client-core']

/** Sees to it that there is a database to use: DATABASE_URL, a MariaDB on this machine, or else its package, installed where that may be done. */
export async function provideMariadb() {
  if (process.env.DATABASE_URL) return
  // Compiled by the build: the program that starts the server looks in the same places.
  const { findMariadb } = await import(pathToFileURL(join(root, 'dist/database/find-mariadb.js')).href)
  if (findMariadb() !== undefined) return
  await installMariadb()
  if (findMariadb() === undefined)
    throw new SetupError('MariaDB was installed, but no mariadbd can be found. Set DATABASE_URL to a database to use instead.')
}

async function installMariadb() {
  if (process.platform === 'darwin' && answers('brew')) {
    await step('Installing MariaDB (brew install mariadb)', () => runQuietly('brew', ['install', 'mariadb']).then(() => undefined))
  } else if (process.platform === 'linux' && answers('apt-get')) {
    if (process.getuid?.() !== 0) throw missing(`sudo apt-get install --no-install-recommends ${aptPackages().join(' ')}`)
    await step('Installing MariaDB (apt-get)', async () => {
      const env = { DEBIAN_FRONTEND: 'noninteractive' }
      // One source of packages that is broken must not stop the others: the installation says what is really missing.
      await runQuietly('apt-get', ['update', '-q'], { env }).catch(() => undefined)
      await runQuietly('apt-get', ['install', '--no-install-recommends', '-y', '-q', ...aptPackages()], { env })
    })
  } else if (process.platform === 'darwin') {
    throw missing('brew install mariadb')
  } else {
    throw new SetupError(
      'There is no MariaDB on this machine. Install the package that holds mariadbd, or set DATABASE_URL=mysql://user:password@host:3306.',
    )
  }
}

/** Before Debian 12 and Ubuntu 24.04 the names of these packages end in the version. */
function aptPackages() {
  return packages.map((name) => {
    const found = spawnSync('apt-cache', ['search', '--names-only', `^${name}(-[0-9.]+)?$`], { encoding: 'utf8' }).stdout ?? ''
    const names = found.split('\n').map((line) => line.split(' ')[0])
    return names.includes(name) ? name : (names.filter(Boolean).sort().at(-1) ?? name)
  })
}

function missing(command) {
  return new SetupError(
    `There is no MariaDB on this machine. Install it with\n\n    ${command}\n\nor set DATABASE_URL=mysql://user:password@host:3306.`,
  )
}
