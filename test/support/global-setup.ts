import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestProject } from 'vitest/node'
import { startPrivateServer } from '../../src/database/private-server.js'

declare module 'vitest' {
  interface ProvidedContext {
    /** `mysql://user:password@host:port`, of a server where databases may be created. */
    databaseServer: string
  }
}

/** The file in the run's folder that says that a failing test wants its part of it looked at. */
export const keptMarker = 'kept'

/**
 * One folder for all that the run writes, which goes with it unless a failing test keeps it; and one MariaDB for the whole run: DATABASE_URL's
 * server if set, else a private one in that folder.
 */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const folder = mkdtempSync(join(tmpdir(), 'scaimind-test-'))
  // What `tmpdir()` answers in the tests.
  process.env.TMPDIR = folder
  const clear = () => {
    if (!existsSync(join(folder, keptMarker))) rmSync(folder, { recursive: true, force: true })
  }
  const given = process.env.DATABASE_URL
  if (given) {
    project.provide('databaseServer', Object.assign(new URL(given), { pathname: '' }).href)
    return async () => clear()
  }
  const server = await startPrivateServer(join(folder, 'database'))
  project.provide('databaseServer', server.url)
  return async () => {
    await server.stop()
    clear()
  }
}
