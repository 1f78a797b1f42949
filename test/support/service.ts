import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { createWriteStream } from 'node:fs'
import { resolve } from 'node:path'
import { freePort } from '../../src/database/free-port.js'

const main = resolve(import.meta.dirname, '../../dist/cli/main.js')

/** One of our servers as a real process, which can be killed and started again on the same port. */
export class Service {
  #process: ChildProcess | undefined
  port = 0

  constructor(
    readonly name: 'api' | 'coordinator',
    readonly env: Record<string, string>,
    readonly logPath: string,
  ) {}

  /** Starts it and waits until it says that it listens. Rejects with the place of its log where it ends instead. */
  async start(): Promise<void> {
    // One that is still free when the service is started again.
    this.port ||= await freePort()
    const portSetting = this.name === 'api' ? 'SCAIMIND_PORT' : 'SCAIMIND_COORDINATOR_PORT'
    const env = { PATH: process.env.PATH ?? '', ...this.env, [portSetting]: String(this.port) }
    const child = fork(main, [this.name], { env, stdio: ['ignore', 'pipe', 'pipe', 'ipc'], execArgv: [] })
    const log = createWriteStream(this.logPath, { flags: 'a' })
    child.stdout?.pipe(log, { end: false })
    child.stderr?.pipe(log, { end: false })
    this.#process = child
    const ready = once(child, 'message') as Promise<[{ port: number }]>
    const ended = once(child, 'exit').then(() => {
      throw new Error(`The ${this.name} did not start; see ${this.logPath}.`)
    })
    const [message] = await Promise.race([ready, ended])
    ended.catch(() => {})
    this.port = message.port
  }

  /** `kill -9`, and waits until it is gone. */
  async kill(): Promise<void> {
    await this.#end('SIGKILL')
  }

  /** SIGTERM, and waits until it has ended in order. Answers the exit code. */
  async stop(): Promise<number | null> {
    return await this.#end('SIGTERM')
  }

  /** Stops the process where it stands, as a machine that hangs would; its connections stay open. */
  freeze(): void {
    this.#process?.kill('SIGSTOP')
  }

  /** Lets a frozen process go on. */
  thaw(): void {
    this.#process?.kill('SIGCONT')
  }

  async #end(signal: NodeJS.Signals): Promise<number | null> {
    const child = this.#process
    this.#process = undefined
    if (!child || child.exitCode !== null || child.signalCode !== null) return child?.exitCode ?? null
    const exit = once(child, 'exit') as Promise<[number | null]>
    child.kill(signal)
    return (await exit)[0]
  }
}
