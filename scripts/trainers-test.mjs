// The tests of the trainer for HuggingFace models, which need its Python packages: several GB, kept outside the checkout and made where they are missing. Nothing is skipped. Needs `npm run setup`.
import { spawn } from 'node:child_process'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { providePython } from './setup/python.mjs'
import { main, root, SetupError } from './setup/steps.mjs'

const limitMs = 20 * 60_000
const deadline = Date.now() + limitMs

await main(async () => {
  const python = await providePython()
  await run('the environment', process.execPath, ['bin/scaimind.js', 'trainers', 'install', '--python', python, '--extra', 'test'])
  const { hfEnvironment } = await import('../dist/hf-environment.js')
  const environment = hfEnvironment(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'))
  const failed = []
  const also = async (title, ...command) => {
    await run(title, ...command).catch((error) => failed.push(error.message))
  }
  await also('pytest trainers/hf/tests', environment.python, ['-m', 'pytest', '-q', '--durations=5', 'trainers/hf/tests'])
  const vitest = [join(root, 'node_modules/vitest/vitest.mjs'), 'run', '--project', 'trainers']
  await also('test/trainers', process.execPath, vitest, { SCAIMIND_HF_PYTHON: environment.python })
  if (failed.length > 0) throw new SetupError(failed.join('\n'))
})

/** Runs a program to its end, in a group of its own: what it started ends with it where time is up, or where this is stopped. */
function run(title, program, words, env = {}) {
  return new Promise((done, fail) => {
    const child = spawn(program, words, {
      cwd: root,
      stdio: ['ignore', 'inherit', 'inherit'],
      env: { ...process.env, ...env },
      detached: true,
    })
    let isLate = false
    const end = () => {
      try {
        process.kill(-child.pid, 'SIGKILL')
      } catch {
        // It is gone.
      }
    }
    const timer = setTimeout(
      () => {
        isLate = true
        end()
      },
      Math.max(0, deadline - Date.now()),
    )
    const stop = () => {
      end()
      process.exit(130)
    }
    process.once('SIGINT', stop).once('SIGTERM', stop)
    child.on('error', (error) => fail(new SetupError(`${title}: ${program} cannot be run: ${error.message}`)))
    child.on('close', (code, signal) => {
      clearTimeout(timer)
      process.off('SIGINT', stop).off('SIGTERM', stop)
      if (code === 0) done()
      else
        fail(
          new SetupError(
            isLate ? `${title}: not done within ${limitMs / 60_000} minutes` : `${title} failed (${signal ?? `exit code ${code}`})`,
          ),
        )
    })
  })
}
