import { CommandFailed, isSystemError } from './failure.js'

/** A server that runs in this process. */
interface Server {
  host: string
  port: number
  close(): Promise<void>
}

/** What a server says to the supervisor that started it. */
export interface ReadyMessage {
  type: 'ready'
  host: string
  port: number
}

/** Where the settings for a listening address are, for messages. */
interface ServeOptions {
  name: string
  portSetting: string
  port: number
}

/**
 * Starts a server, tells the supervisor where it listens, and closes it in order on SIGTERM, on SIGINT, or when the supervisor is gone.
 * Throws CommandFailed, naming the setting, when the port is taken.
 */
export async function serve({ name, portSetting, port }: ServeOptions, start: () => Promise<Server>): Promise<void> {
  const stopped = untilAskedToStop()
  const server = await start().catch((error: unknown) => {
    if (isSystemError(error, 'EADDRINUSE')) throw new CommandFailed(`Port ${port} is taken: change ${portSetting} (0 for any free one).`)
    if (isSystemError(error, 'EACCES')) throw new CommandFailed(`Port ${port} may not be used by this user: change ${portSetting}.`)
    throw error
  })
  const ready: ReadyMessage = { type: 'ready', host: server.host, port: server.port }
  if (process.send) process.send(ready)
  else process.stderr.write(`${name} listens on ${server.host}:${server.port}\n`)
  await stopped
  await server.close()
}

/** Resolves when this process is asked to end. */
export function untilAskedToStop(): Promise<void> {
  return new Promise((done) => {
    // The handlers stay: a signal that comes twice, as from a terminal and from npm, must not cut the stopping short.
    for (const name of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.on(name, () => done())
    if (process.channel) process.once('disconnect', () => done())
  })
}
