import type { Command } from 'commander'
import { readApiConfig } from '../config.js'
import { checkDatabase } from '../database/connect.js'
import { serve } from './serve.js'

/** `scaimind api` */
export function addApi(program: Command): void {
  program
    .command('api')
    .description('run the API: GraphQL with subscriptions, GraphiQL and REST')
    .addHelpText(
      'after',
      `
Settings are environment variables; DATABASE_URL and SCAIMIND_API_SECRET are needed, SCAIMIND_GRPC_HOST and
SCAIMIND_GRPC_PORT say where the coordinator is. Run \`scaimind migrate\` first.

Example:
  DATABASE_URL=mysql://user:password@db:3306/scaimind_api SCAIMIND_API_SECRET=… SCAIMIND_GRPC_HOST=coordinator scaimind api`,
    )
    .action(async () => {
      const config = readApiConfig(process.env)
      await checkDatabase(config.DATABASE_URL, 'DATABASE_URL')
      const { startApi } = await import('../api/server.js')
      const options = { name: 'The API', portSetting: 'SCAIMIND_PORT', port: config.SCAIMIND_PORT }
      await serve(options, async () => {
        const api = await startApi(config)
        return { host: config.SCAIMIND_HOST, port: api.port, close: () => api.close() }
      })
    })
}
