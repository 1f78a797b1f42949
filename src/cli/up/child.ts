import { type ChildProcess, spawn } from 'node:child_process'
import { closeSync } from 'node:fs'
import { CommandFailed } from '../failure.js'
import { mainProgram } from '../paths.js'
import type { ReadyMessage } from '../serve.js'
import type { LogFile } from './log-file.js'

/** How a child is run. */
interface ChildOptions {
  /** The subcommand that it runs, which is also its name. */
  name: 'coordinator' | 'api'
  log: LogFile
  env: Record<string, string | undefined>
  /** The environment variable of the port: after the first start it is fixed, so that a restart is found where it was. */
  portVariable: string
  /** Told when the child ended unasked and is started again. */
  onCrash: (message: string) => void
}

const backoffFirstMs = 200
const backoffMaxMs = 10_000
const steadyAfterMs = 30_000
const readyTimeoutMs = 60_000
const stopTimeoutMs = 20_000

/** A program that is kept running: started again, with a growing pause, whenever it ends unasked. */
export class SupervisedChild {
  readonly #options: ChildOptions
  #process: ChildProcess | undefined
  #port: number | undefined
  #backoffMs = backoffFirstMs
  #timer: NodeJS.Timeout | undefined
  #wanted = false

  constructor(options: ChildOptions) {
    this.#options = options
  }

  /** The pid of the process that runs now. */
  get pid(): number | undefined {
    return this.#process?.pid
  }

  /** Starts it and resolves with its port once it serves. Throws CommandFailed with the last lines of its log when it ends before. */
  async start(): Promise<number> {
    this.#wanted = false
    const child = this.#spawn()
    const port = await readyPort(child)
    if (port === undefined) {
      await this.#end(child)
      const lines = this.#options.log.tail(15)
      throw new CommandFailed(`The ${this.#options.name} did not start:\n${lines.join('\n')}\n(${this.#options.log.path})`)
    }
    this.#wanted = true
    this.#port = port
    return port
  }

  /** Ends it and starts it again in the same place, with the program as it is now. */
  async restart(): Promise<void> {
    await this.stop()
    await this.start()
  }

  /** Ends it in order, or by SIGKILL when that takes too long. Twice is fine. */
  async stop(): Promise<void> {
    this.#wanted = false
    clearTimeout(this.#timer)
    if (this.#process) await this.#end(this.#process)
  }

  #spawn(): ChildProcess {
    const { name, log, env, portVariable } = this.#options
    const file = log.open()
    try {
      const port = this.#port === undefined ? {} : { [portVariable]: String(this.#port) }
      const child = spawn(process.execPath, ['--enable-source-maps', mainProgram, name], {
        env: { ...env, ...port },
        stdio: ['ignore', file, file, 'ipc'],
        // Ctrl-C in the terminal is for the supervisor, which then ends its children in order.
        detached: true,
      })
      const startedAt = Date.now()
      child.once('exit', (code, signal) => this.#ended(startedAt, signal ?? `exit code ${code}`))
      this.#process = child
      return child
    } finally {
      closeSync(file)
    }
  }

  #ended(startedAt: number, how: string): void {
    if (!this.#wanted) return
    if (Date.now() - startedAt > steadyAfterMs) this.#backoffMs = backoffFirstMs
    this.#options.onCrash(`The ${this.#options.name} ended (${how}) and is started again; see ${this.#options.log.path}.`)
    this.#timer = setTimeout(() => this.#spawn(), this.#backoffMs)
    this.#backoffMs = Math.min(this.#backoffMs * 2, backoffMaxMs)
  }

  async #end(child: ChildProcess): Promise<void> {
    if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return
    const ended = new Promise<void>((done) => child.once('exit', () => done()))
    child.kill('SIGTERM')
    const timer = setTimeout(() => child.kill('SIGKILL'), stopTimeoutMs)
    await ended
    clearTimeout(timer)
  }
}

/** The port that the child says it serves on; undefined when it ends, or says nothing for a minute. */
function readyPort(child: ChildProcess): Promise<number | undefined> {
  return new Promise((done) => {
    const timer = setTimeout(() => done(undefined), readyTimeoutMs)
    const settle = (port: number | undefined) => {
      clearTimeout(timer)
      done(port)
    }
    child.on('message', (message: ReadyMessage) => {
      if (message.type === 'ready') settle(message.port)
    })
    child.once('exit', () => settle(undefined))
    child.once('error', () => settle(undefined))
  })
}
