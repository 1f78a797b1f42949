import { execFile, execFileSync } from 'node:child_process'
import { failureOf } from './failures.js'

/** Runs Slurm's own programs; nothing else here starts a process. */
export interface SlurmCommands {
  /** Runs a command with its arguments, without a shell, and answers what it printed. Throws SlurmUnavailable or SlurmRefused. */
  run(command: SlurmCommand, ...args: string[]): Promise<CommandOutput>
  /** The same, unless the signal aborts before its turn; then it throws the signal's reason. What has begun comes to its end. */
  runUnless(signal: AbortSignal, command: SlurmCommand, ...args: string[]): Promise<CommandOutput>
  /** The version of the commands, `22.05.8`. Throws where there are none. */
  version(): string
}

export type SlurmCommand = 'sbatch' | 'scancel' | 'scontrol' | 'sinfo' | 'squeue'

/** What a command printed. */
export interface CommandOutput {
  stdout: string
  stderr: string
}

/** Longest time for a command; Slurm's own try for a minute or more to reach a controller that is away. */
const timeoutMs = 30_000
const outputBytesMax = 2 ** 29
const changesMax = 4

/**
 * The commands of one cluster. They get an environment of their own: where programs are, which cluster (`conf`, for SLURM_CONF; default: the
 * machine's own), and that times are UTC. What changes something runs a few at a time: a thousand submissions must not be a thousand processes.
 */
export function slurmCommands({ commandsPath: path, conf }: { commandsPath: string; conf?: string }): SlurmCommands {
  const env = { PATH: path, LC_ALL: 'C', TZ: 'UTC', ...(conf === undefined ? {} : { SLURM_CONF: conf }) }
  const options = { env, timeout: timeoutMs, killSignal: 'SIGKILL', maxBuffer: outputBytesMax } as const
  /** What changes something waits for what was given to its lane before. */
  const lanes = Array.from({ length: changesMax }, (): Promise<unknown> => Promise.resolve())
  let changes = 0

  const start = (command: SlurmCommand, args: string[]) =>
    new Promise<CommandOutput>((resolve, reject) => {
      execFile(command, args, options, (error, stdout, stderr) => {
        if (error) reject(failureOf(command, stderr, error))
        else resolve({ stdout, stderr })
      })
    })
  function inTurn(begin: () => Promise<CommandOutput>): Promise<CommandOutput> {
    const lane = changes++ % changesMax
    const change = (lanes[lane] ?? Promise.resolve()).then(begin)
    lanes[lane] = change.catch(() => {})
    return change
  }
  return {
    run(command, ...args) {
      if (command === 'squeue' || command === 'sinfo' || args[0] === 'show') return start(command, args)
      return inTurn(() => start(command, args))
    },
    runUnless: (signal, command, ...args) =>
      inTurn(() => {
        signal.throwIfAborted()
        return start(command, args)
      }),
    version: () =>
      execFileSync('sinfo', ['--version'], { ...options, encoding: 'utf8' })
        .trim()
        .split(' ')
        .at(-1) ?? '',
  }
}
