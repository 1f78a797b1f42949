import type { Command } from 'commander'
import { readCoordinatorConfig } from '../config.js'
import { checkDatabase } from '../database/connect.js'
import { serve } from './serve.js'

/** `scaimind coordinator` */
export function addCoordinator(program: Command): void {
  program
    .command('coordinator')
    .description('run the coordinator: the gRPC service that owns the jobs')
    .addHelpText(
      'after',
      `
Settings are environment variables; COORDINATOR_DATABASE_URL (or DATABASE_URL) and SCAIMIND_API_SECRET are needed.
Run \`scaimind migrate\` first.

Example:
  COORDINATOR_DATABASE_URL=mysql://user:password@db:3306/scaimind_coordinator SCAIMIND_API_SECRET=… scaimind coordinator`,
    )
    .action(async () => {
      const config = readCoordinatorConfig(process.env)
      await checkDatabase(config.COORDINATOR_DATABASE_URL, 'COORDINATOR_DATABASE_URL')
      const { startCoordinator } = await import('../coordinator/server.js')
      const options = { name: 'The coordinator', portSetting: 'SCAIMIND_COORDINATOR_PORT', port: config.SCAIMIND_COORDINATOR_PORT }
      await serve(options, () => startCoordinator(config))
    })
}
