import { CommanderError } from 'commander'
import { ConfigError } from '../config.js'
import { DatabaseUnusable } from '../database/connect.js'
import { MigrationRefused } from '../database/migrations.js'
import { CommandFailed } from './failure.js'
import { createProgram } from './program.js'

// A reader that has seen enough, such as `| head`, is no error.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  process.exit(error.code === 'EPIPE' ? 0 : 1)
})

process.exit(await run(process.argv))

async function run(argv: string[]): Promise<number> {
  try {
    await createProgram().parseAsync(argv)
    return 0
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2
    if (error instanceof CommandFailed) return complain(error, error.exitCode)
    if (error instanceof ConfigError || error instanceof DatabaseUnusable || error instanceof MigrationRefused) return complain(error, 1)
    process.stderr.write(`${error instanceof Error ? error.stack : String(error)}\n`)
    return 1
  }
}

function complain(error: Error, exitCode: number): number {
  if (error.message !== '') process.stderr.write(`${error.message}\n`)
  return exitCode
}
