import { homedir } from 'node:os'
import { join } from 'node:path'
import { type Command, Option } from 'commander'
import { type HfEnvironment, hfEnvironment, hfTrainerFolder, isWhole } from '../../hf-environment.js'
import { CommandFailed, UsageError } from '../failure.js'
import { type Extra, extras, installTrainers, runProgram } from './install.js'

interface InstallOptions {
  python: string
  indexUrl?: string
  extra: Extra[]
}

/** `scaimind trainers`: the Python packages of the trainer for real models. */
export function addTrainers(program: Command): void {
  const trainers = program.command('trainers').description('the Python packages of the trainer for HuggingFace models')

  trainers
    .command('install')
    .description('make the virtual environment that the trainer for HuggingFace models runs in; once made, it is left as it is')
    .option('--python <program>', 'the Python, 3.10 or newer, that it is made with', 'python3')
    .option(
      '--index-url <url>',
      'where torch and what it brings come from, such as the one for CPUs; all else comes from where pip is set to',
    )
    .addOption(
      new Option('--extra <name>', 'install this too; may be given more than once')
        .choices(Object.keys(extras))
        .default([])
        .argParser((name: string, before: Extra[]) => [...before, parseExtra(name)]),
    )
    .addHelpText(
      'after',
      `
The environment is \${XDG_CACHE_HOME:-~/.cache}/scaimind/venv-<hash of the lock file>: another release of ScaiMind with other packages has another.
Repeating it is safe. torch of PyPI for x86 Linux brings CUDA's libraries, several GB.

Examples:
  scaimind trainers install --python python3.11 --extra qlora
  scaimind trainers install --index-url https://wheels.example.com/torch/cpu`,
    )
    .action(async ({ python, indexUrl, extra }: InstallOptions) => {
      const environment = requireEnvironment()
      await installTrainers(environment, { python, indexUrl: indexUrl ?? null, extras: extra, screen: process.stderr })
      process.stdout.write(`${environment.python}\n`)
    })

  trainers
    .command('status')
    .description('where the environment is, whether it is whole, and the versions in it; exit code 1 where there is none')
    .option('--json', 'print JSON')
    .addHelpText('after', '\nExample:\n  scaimind trainers status')
    .action(async ({ json }: { json?: boolean }) => {
      const environment = requireEnvironment()
      const isInstalled = isWhole(environment)
      const versions = isInstalled ? await versionsIn(environment) : {}
      if (json) process.stdout.write(`${JSON.stringify({ installed: isInstalled, folder: environment.folder, versions })}\n`)
      else
        for (const [name, version] of Object.entries(versions)) process.stdout.write(`${name.padEnd(16)} ${version ?? 'not installed'}\n`)
      if (!isInstalled)
        throw new CommandFailed(
          json ? '' : `There is no whole environment in ${environment.folder}: \`scaimind trainers install\` makes it.`,
        )
      if (!json) process.stdout.write(`${environment.folder}\n`)
    })
}

function parseExtra(name: string): Extra {
  const known = (Object.keys(extras) as Extra[]).find((extra) => extra === name)
  if (known === undefined) throw new UsageError(`--extra: it is one of ${Object.keys(extras).join(', ')}.`)
  return known
}

function requireEnvironment(): HfEnvironment {
  const environment = hfEnvironment(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'))
  if (!environment)
    throw new CommandFailed(`${hfTrainerFolder} has no requirements.lock: this package came without the trainer for HuggingFace models.`)
  return environment
}

async function versionsIn({ python }: HfEnvironment): Promise<Record<string, string | null>> {
  const told = await runProgram(python, [join(hfTrainerFolder, 'main.py'), '--version'])
  return (JSON.parse(told) as { packages: Record<string, string | null> }).packages
}
