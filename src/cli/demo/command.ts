import { existsSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { type Command, Option } from 'commander'
import { CommandFailed, UsageError } from '../failure.js'
import { packagePath } from '../paths.js'
import { untilAskedToStop } from '../serve.js'
import { parsePort } from '../up/command.js'
import { describeServer } from './report.js'
import { runDemoJob } from './run.js'
import { startDemoStack } from './stack.js'

interface DemoOptions {
  data?: string
  dir: string
  port?: number
  exit?: boolean
}

const shippedData = packagePath('examples/data/devils-dictionary.jsonl')

/** `scaimind demo`, which is also `npm run demo` */
export function addDemo(program: Command): void {
  program
    .command('demo')
    .description('start everything, fine-tune a small model, and show what it learnt')
    .option('--data <file.jsonl>', 'records of your own to train on instead of the dictionary that comes with it')
    .option('--dir <dir>', 'folder of everything that is kept', process.env.SCAIMIND_DATA_DIR || '.scaimind')
    .addOption(new Option('--port <port>', 'port of the API; default 8080, or any free one where that is taken').argParser(parsePort))
    .option('--exit', 'stop everything afterwards, and print the outcome as one line of JSON')
    .addHelpText('after', '\nExamples:\n  scaimind demo\n  scaimind demo --data my-records.jsonl --exit')
    .action(async (options: DemoOptions) => {
      // npm changes into the package's folder; paths are meant as seen from where it was called.
      const file = options.data === undefined ? shippedData : resolve(process.env.INIT_CWD ?? process.cwd(), options.data)
      if (!existsSync(file)) throw new UsageError(`--data: there is no file ${file}.`)
      const stopped = untilAskedToStop()
      const notice = (message: string) => process.stderr.write(`${message}\n`)
      notice('Starting database, coordinator and API …')
      const stack = await startDemoStack({ dataDir: options.dir, port: options.port, dataRoots: [dirname(file)], onNotice: notice })
      try {
        const outcome = await runDemoJob(stack.address, file, stopped)
        process.stdout.write(describeServer(stack.address))
        if (!options.exit) {
          notice('The server runs until Ctrl-C.')
          await stopped
        }
        notice('Stopping …')
        await stack.stop()
        if (options.exit) process.stdout.write(`${JSON.stringify(outcome)}\n`)
      } catch (error) {
        await stack.stop()
        if (error instanceof CommandFailed) throw error
        throw new Error('The demo met an error of its own.', { cause: error })
      }
    })
}
