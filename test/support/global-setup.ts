import { mkdtempSync, rmSync } from 'node:fs'
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

/** One MariaDB for the whole run: DATABASE_URL's server if set, else a private one that goes with the run. */
export default async function setup(project: TestProject): Promise<(() => Promise<void>) | undefined> {
  const given = process.env.DATABASE_URL
  if (given) {
    project.provide('databaseServer', Object.assign(new URL(given), { pathname: '' }).href)
    return
  }
  const folder = mkdtempSync(join(tmpdir(), 'scaimind-test-'))
  const server = await startPrivateServer(folder)
  project.provide('databaseServer', server.url)
  return async () => {
    await server.stop()
    rmSync(folder, { recursive: true, force: true })
  }
}
