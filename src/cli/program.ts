import { readFileSync } from 'node:fs'
import { Command } from 'commander'
import { addApi } from './api.js'
import { addCoordinator } from './coordinator.js'
import { addDemo } from './demo/command.js'
import { addJob } from './job/command.js'
import { addKeys } from './keys.js'
import { addMigrate } from './migrate.js'
import { packagePath } from './paths.js'
import { addTrainers } from './trainers/command.js'
import { addUp } from './up/command.js'

/** The command `scaimind` with all its subcommands. Nothing here ends the process: wrong usage throws CommanderError. */
export function createProgram(): Command {
  const { version } = JSON.parse(readFileSync(packagePath('package.json'), 'utf8')) as { version: string }
  const program = new Command('scaimind')
    .description('The training control plane: submit fine-tuning jobs, watch them live, run the cluster they train on.')
    .version(version)
    .exitOverride()
    .showHelpAfterError('(add --help for what there is)')
  for (const add of [addUp, addApi, addCoordinator, addMigrate, addKeys, addJob, addTrainers, addDemo]) add(program)
  return program
}
