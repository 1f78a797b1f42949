import { fork } from 'node:child_process'
import { once } from 'node:events'
import { join, resolve } from 'node:path'

const root = resolve(import.meta.dirname, '../..')

/** Starts a server as a process of its own, in production mode, and waits until it listens. */
export async function startServer(script, { env = {}, args = [] } = {}) {
  const child = fork(script, args, {
    env: { PATH: process.env.PATH, NODE_ENV: 'production', ...env },
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    execArgv: process.env.BENCH_EXEC_ARGV?.split(' ') ?? [],
  })
  const ended = once(child, 'exit').then(([code]) => {
    throw new Error(`${script} ended with ${code} before it listened.`)
  })
  const [{ port }] = await Promise.race([once(child, 'message'), ended])
  ended.catch(() => {})
  return {
    port,
    pid: child.pid,
    process: child,
    /** Ends it at once, and waits until it is gone. */
    async kill() {
      if (child.exitCode !== null || child.signalCode !== null) return
      const exit = once(child, 'exit')
      child.kill('SIGKILL')
      await exit
    },
    async stop() {
      if (child.exitCode !== null || child.signalCode !== null) return
      const exit = once(child, 'exit')
      child.kill('SIGTERM')
      const timer = setTimeout(() => child.kill('SIGKILL'), 5000)
      await exit
      clearTimeout(timer)
    },
  }
}

// Limits stay on, but are not what is measured.
const unreachedRates = { SCAIMIND_RATE_PER_KEY: '10000000', SCAIMIND_RATE_PER_TENANT: '10000000' }

/** Our API. */
export const startApi = (env) =>
  startServer(join(root, 'dist/cli/main.js'), {
    args: ['api'],
    env: { SCAIMIND_LOG_LEVEL: 'warn', SCAIMIND_PORT: '0', ...unreachedRates, ...env },
  })

/** A process of readers: `ask` sends it a message and answers what it says to that. */
export function startReaders(script) {
  const child = fork(join(import.meta.dirname, script), { stdio: ['ignore', 'ignore', 'inherit', 'ipc'] })
  let last = 0
  return {
    pid: child.pid,
    ask(message, { withinMs }) {
      const id = ++last
      return new Promise((done, fail) => {
        const settle = (how, value) => {
          clearTimeout(timer)
          child.off('message', hear).off('exit', ended)
          how(value)
        }
        const hear = ({ id: answered, error, ...answer }) => {
          if (answered !== id) return
          if (error) settle(fail, new Error(error))
          else settle(done, answer)
        }
        const ended = (code) => settle(fail, new Error(`${script} ended with ${code}.`))
        const late = `${script} did not answer ${message.type} within ${withinMs} ms.`
        const timer = setTimeout(() => settle(fail, new Error(late)), withinMs)
        child.on('message', hear).once('exit', ended)
        child.send({ id, ...message })
      })
    },
    stop: () => child.kill(),
  }
}

/** The load generator. `run` answers requests a second and latencies in milliseconds. */
export function startLoad() {
  const child = fork(join(import.meta.dirname, 'load.mjs'), { stdio: ['ignore', 'ignore', 'inherit', 'ipc'] })
  let last = 0
  return {
    run(load) {
      const id = ++last
      return new Promise((done, fail) => {
        child.on('message', function hear(message) {
          if (message.id !== id) return
          child.off('message', hear)
          if (message.error) fail(new Error(message.error))
          else done(message)
        })
        child.send({ id, ...load })
      })
    },
    stop: () => child.kill(),
  }
}
