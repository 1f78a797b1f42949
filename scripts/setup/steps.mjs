import { spawn, spawnSync } from 'node:child_process'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** The repository's root folder. */
export const root = join(dirname(fileURLToPath(import.meta.url)), '..', '..')

/** A problem that the reader can do something about: printed without a stack. */
export class SetupError extends Error {}

/** Runs one step of the set-up; prints a line only when there was something to do. */
export async function step(title, work) {
  const started = Date.now()
  process.stderr.write(`- ${title} … `)
  try {
    const note = await work()
    process.stderr.write(`${note ?? 'done'} (${((Date.now() - started) / 1000).toFixed(1)} s)\n`)
  } catch (error) {
    process.stderr.write('failed\n')
    throw error
  }
}

/** Runs a program to its end, its output kept back and shown only when it fails. */
export function runQuietly(command, args, { env = {}, cwd = root } = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { cwd, env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'pipe'] })
    let output = ''
    child.stdout.on('data', (chunk) => {
      output += chunk
    })
    child.stderr.on('data', (chunk) => {
      output += chunk
    })
    child.on('error', (error) => reject(new SetupError(`${command} could not be started: ${error.message}`)))
    child.on('close', (code, signal) => {
      if (code === 0) resolve(output)
      else reject(new SetupError(`\`${[command, ...args].join(' ')}\` failed (${signal ?? `exit code ${code}`}):\n${shortened(output)}`))
    })
  })
}

/** Whether a program with this name answers. */
export function answers(command, args = ['--version']) {
  return spawnSync(command, args, { stdio: 'ignore' }).status === 0
}

/** Runs the main function of a script; a SetupError is one message and exit code 1. */
export async function main(work) {
  try {
    await work()
  } catch (error) {
    if (!(error instanceof SetupError)) throw error
    process.stderr.write(`${error.message}\n`)
    process.exitCode = 1
  }
}

/** npm and the compiler say first what is wrong, others last. */
function shortened(text, count = 25) {
  const lines = text.trimEnd().split('\n')
  return (lines.length <= 2 * count ? lines : [...lines.slice(0, count), '…', ...lines.slice(-count)]).join('\n')
}
