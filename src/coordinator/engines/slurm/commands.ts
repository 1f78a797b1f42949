import { execFile, execFileSync } from 'node:child_process'

/** Runs Slurm's own programs; nothing else here starts a process. */
export interface SlurmCommands {
  /** Runs a command with its arguments, without a shell, and answers what it printed. Throws SlurmCommandFailed. */
  run(command: SlurmCommand, ...args: string[]): Promise<CommandOutput>
  /** The version of the commands, `22.05.8`. Throws where there are none. */
  version(): string
}

export type SlurmCommand = 'sbatch' | 'scancel' | 'scontrol' | 'sinfo' | 'squeue'

/** What a command printed. */
export interface CommandOutput {
  stdout: string
  stderr: string
}

/** A command that did not do what it was asked; its message holds Slurm's own words. */
export class SlurmCommandFailed extends Error {
  /** Slurm looked at what was asked and refused it; otherwise it could not be asked, and asking again may help. */
  readonly refused: boolean
  /** Slurm's words, without the program's name. */
  readonly words: string

  constructor(command: SlurmCommand, stderr: string, cause: unknown) {
    const words = wordsOf(stderr) || (cause instanceof Error ? cause.message : String(cause))
    super(`${command}: ${words}`, { cause })
    this.words = words
    this.refused = wordsOf(stderr) !== '' && !unavailable.test(stderr)
  }
}

/** What Slurm's programs say where the controller is not there, or has no time now. */
const unavailable =
  /unable to (contact|establish)|connect(ion)? (failure|refused|timed out)|socket timed out|timed out on send|zero bytes|temporarily unable|communication|controller not responding|authentication|munge|transport|backup mode|standby|too many (open|simultaneous)/i

/** Longest time for a command; Slurm's own try for a minute or more to reach a controller that is away. */
const timeoutMs = 30_000
const outputBytesMax = 2 ** 29

/**
 * The commands of one cluster. They get an environment of their own: where programs are, which cluster (`conf`, for SLURM_CONF; default: the
 * machine's own), and that times are UTC. What changes something runs one at a time: a thousand submissions must not be a thousand processes.
 */
export function slurmCommands({ commandsPath, conf }: { commandsPath?: string; conf?: string }): SlurmCommands {
  const path = commandsPath ?? process.env.PATH ?? '/usr/local/bin:/usr/bin:/bin'
  const env = { PATH: path, LC_ALL: 'C', TZ: 'UTC', ...(conf === undefined ? {} : { SLURM_CONF: conf }) }
  const options = { env, timeout: timeoutMs, killSignal: 'SIGKILL', maxBuffer: outputBytesMax } as const
  let lastChange: Promise<unknown> = Promise.resolve()

  const start = (command: SlurmCommand, args: string[]) =>
    new Promise<CommandOutput>((resolve, reject) => {
      execFile(command, args, options, (error, stdout, stderr) => {
        if (error) reject(new SlurmCommandFailed(command, stderr, error))
        else resolve({ stdout, stderr })
      })
    })
  return {
    run(command, ...args) {
      if (command === 'squeue' || command === 'sinfo' || args[0] === 'show') return start(command, args)
      const change = lastChange.then(() => start(command, args))
      lastChange = change.catch(() => {})
      return change
    },
    version: () =>
      execFileSync('sinfo', ['--version'], { ...options, encoding: 'utf8' })
        .trim()
        .split(' ')
        .at(-1) ?? '',
  }
}

/** `sbatch: error: Batch job submission failed: Invalid …` → what follows the names. */
function wordsOf(stderr: string): string {
  return stderr
    .split('\n')
    .map((line) => line.replace(/^\w+: (error: )?/, '').trim())
    .filter(Boolean)
    .join('; ')
    .slice(0, 1000)
}
