import { type Command, InvalidArgumentError } from 'commander'
import { CommandFailed } from '../failure.js'
import { untilAskedToStop } from '../serve.js'
import { type StackAddress, startStack } from './stack.js'

interface UpOptions {
  port: number
  data: string
  json?: boolean
}

/** `scaimind up` */
export function addUp(program: Command): void {
  program
    .command('up')
    .description('run everything on this machine: database, coordinator and API')
    .option('--port <port>', 'port of the API; 0 for any free one', parsePort, 8080)
    .option('--data <dir>', 'folder of everything that is kept', process.env.SCAIMIND_DATA_DIR || '.scaimind')
    .option('--json', 'print one line of JSON when ready')
    .addHelpText(
      'after',
      `
With DATABASE_URL set, that MariaDB is used; otherwise a private one is started, with its data in the data folder.
Everything listens on 127.0.0.1 only. Ctrl-C or SIGTERM stops all of it; jobs run on and are found again by the next start.

Examples:
  scaimind up
  scaimind up --port 0 --data /var/lib/scaimind --json`,
    )
    .action(async ({ port, data, json }: UpOptions) => {
      const stopped = untilAskedToStop()
      const notice = (message: string) => process.stderr.write(`${message}\n`)
      const starting = startStack({ dataDir: data, port, env: process.env, onNotice: notice })
      const stack = await Promise.race([starting, stopped])
      if (stack) {
        process.stdout.write(json ? `${JSON.stringify(stack.address)}\n` : describe(stack.address))
        // For development: the programs were built anew.
        process.on('SIGUSR2', () => {
          stack.restart().then(
            () => notice('Started again.'),
            (error: unknown) => notice(error instanceof CommandFailed ? error.message : String(error)),
          )
        })
        await stopped
      }
      if (!json) notice('Stopping …')
      await (stack ?? (await starting)).stop()
    })
}

/** Takes an option's value as a port. */
export function parsePort(text: string): number {
  const port = Number(text)
  if (!/^\d+$/.test(text) || port > 65535) throw new InvalidArgumentError('It is a number from 0 to 65535.')
  return port
}

function describe(address: StackAddress): string {
  return `ScaiMind runs.

  GraphiQL   ${address.graphql}#key=${address.api_key}
  GraphQL    ${address.graphql} and ${address.websocket}
  REST       ${address.rest}
  gRPC       ${address.grpc}
  API key    ${address.api_key}
  Data       ${address.data_dir}

Ctrl-C stops it; jobs run on.
`
}
