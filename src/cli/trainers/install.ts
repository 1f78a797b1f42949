import { spawn } from 'node:child_process'
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { createInterface } from 'node:readline'
import { type HfEnvironment, isWhole } from '../../hf-environment.js'
import { CommandFailed } from '../failure.js'
import { takeLock } from '../up/lock.js'

/** What some need besides the packages of the lock file: jobs of type QLORA, the framework DEEPSPEED, and the trainer's own tests. */
export const extras = { qlora: ['bitsandbytes==0.50.2'], deepspeed: ['deepspeed==0.19.8'], test: ['pytest==9.2.0'] } as const
export type Extra = keyof typeof extras

/** How an environment is made. */
export interface InstallOptions {
  /** The Python that it is made with. */
  python: string
  /** Where torch comes from; null: from where pip is set to. */
  indexUrl: string | null
  extras: Extra[]
  /** Where progress is told. */
  screen: { isTTY?: boolean; write(text: string): unknown }
}

/**
 * Makes the environment, unless it is there whole, and installs extras into it. It is built where it stays, since virtual environments cannot be moved; a marker is
 * written last, and what has none is made anew. Throws CommandFailed with pip's last words where that fails, and while another process makes it.
 */
export async function installTrainers(
  environment: HfEnvironment,
  { python, indexUrl, extras: asked, screen }: InstallOptions,
): Promise<void> {
  const { folder, lockFile, marker } = environment
  mkdirSync(dirname(folder), { recursive: true })
  const unlock = takeLock(`${folder}.lock`, (pid) => `The environment in ${folder} is being made by process ${pid}.`)
  try {
    const pinned = pinsIn(lockFile)
    if (!isWhole(environment)) {
      await requirePython(python)
      rmSync(folder, { recursive: true, force: true })
      screen.write(`Making ${folder}\n`)
      await runProgram(python, ['-m', 'venv', folder])
      const ofTorch = pinned.filter((pin) => indexUrl !== null && /^torch==/.test(pin))
      if (indexUrl !== null) await install(environment, ['--index-url', indexUrl, ...ofTorch], screen)
      await install(environment, indexUrl === null ? pinned : pinned.filter((pin) => !broughtByTorch.test(pin)), screen)
      writeFileSync(marker, `${new Date().toISOString()}\n`)
    }
    const more = asked.flatMap((name) => extras[name])
    // They may not change what the environment is named for.
    if (more.length > 0) await install(environment, ['--constraint', lockFile, ...more], screen)
  } finally {
    unlock()
  }
}

/** Another build of torch brings other libraries for its GPUs, or none. */
const broughtByTorch = /^(?:torch|triton|nvidia-[a-z0-9-]+|cuda-[a-z-]+)==/

function pinsIn(lockFile: string): string[] {
  return readFileSync(lockFile, 'utf8')
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('#'))
}

async function requirePython(python: string): Promise<void> {
  const version = (await runProgram(python, ['-c', 'import sys; print("%d.%d" % sys.version_info[:2])'])).trim()
  const [major = 0, minor = 0] = version.split('.').map(Number)
  if (major === 3 && minor >= 10) return
  throw new CommandFailed(`${python} is Python ${version}; 3.10 or newer is needed: name one with --python.`)
}

async function install({ python, folder }: HfEnvironment, words: string[], screen: InstallOptions['screen']): Promise<void> {
  const packages = words.filter((word) => word.includes('==')).length
  let seen = 0
  const told = (line: string) => {
    const name = /^\s*Collecting ([^\s=<>(]+)/.exec(line)?.[1]
    if (/^Installing collected/.test(line)) screen.write(`${screen.isTTY ? '\r\u001b[2K' : ''}installing; this takes minutes …\n`)
    if (name === undefined) return
    seen += 1
    if (screen.isTTY) screen.write(`\r\u001b[2K${seen}/${packages} ${name}`)
    else if (seen % 10 === 0) screen.write(`${seen} of ${packages} packages fetched\n`)
  }
  const pip = ['-m', 'pip', 'install', '--disable-pip-version-check', '--no-input', '--progress-bar', 'off']
  await runProgram(python, [...pip, ...words], { told, cwd: folder })
}

const lastLines = 15
const endings = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const

/** Runs a program to its end and answers its output; each line of it is told at once. What asks this process to end, ends the program. Throws CommandFailed with the last lines of what it said where it fails. */
export function runProgram(
  program: string,
  words: string[],
  { told = () => {}, cwd }: { told?: (line: string) => void; cwd?: string } = {},
): Promise<string> {
  return new Promise((resolve, reject) => {
    // It would go on in an environment that the next one makes anew. Heard from before it is there: it may be asked for at once.
    const stop = (signal: NodeJS.Signals) => child.pid !== undefined && process.kill(-child.pid, signal)
    for (const signal of endings) process.on(signal, stop)
    // A process group of its own, so that it can be ended with what it has started.
    const child = spawn(program, words, { stdio: ['ignore', 'pipe', 'pipe'], detached: true, ...(cwd ? { cwd } : {}) })
    const said: string[] = []
    let output = ''
    for (const stream of [child.stdout, child.stderr]) {
      createInterface({ input: stream }).on('line', (line) => {
        told(line)
        said.push(line)
        if (stream === child.stdout) output += `${line}\n`
      })
    }
    child.on('close', () => {
      for (const signal of endings) process.off(signal, stop)
    })
    child.on('error', (error) => reject(new CommandFailed(`${program} cannot be run: ${error.message}`)))
    child.on('close', (code, signal) => {
      if (code === 0) return resolve(output)
      const command = [program, ...words.slice(0, 3)].join(' ')
      reject(new CommandFailed(`${[...said.slice(-lastLines), `\`${command} …\` failed`].join('\n')} (${signal ?? `exit code ${code}`}).`))
    })
  })
}
