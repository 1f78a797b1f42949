import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

/** Makes the environment of the trainer for real models where a job asks for it. */
export interface HfSetup {
  /** Begins to make it, unless that is under way; answers in a sentence how far it is, or why it could not be made. */
  ask(): string
  /** Ends what is under way. */
  close(): void
}

interface HfSetupOptions {
  /** Where the environments are. */
  cacheHome: string
  /** Program and arguments that make it. Default: `scaimind trainers install` of this package. */
  command?: string[]
  log: { info(fields: object, message: string): void; error(fields: object, message: string): void }
  clock: () => Date
}

const scaimind = fileURLToPath(new URL('../../../bin/scaimind.js', import.meta.url))
/** What failed is tried again once it is asked for after so long: a network may be back. */
const againMs = 5 * 60_000
const wordsMax = 500

/** SCAIMIND_HF_SETUP=auto: the environment is made by a process of its own, whose last words say how far it is. */
export function hfSetup({ cacheHome, command = [process.execPath, scaimind, 'trainers', 'install'], log, clock }: HfSetupOptions): HfSetup {
  // `env` adds to the environment of the coordinator itself, which is read elsewhere: pip needs its proxies and indexes.
  const words = [`XDG_CACHE_HOME=${cacheHome}`, ...command]
  let state: { child: ReturnType<typeof spawn> | null; since: Date; last: string } | null = null

  function begin() {
    const begun = {
      child: spawn('env', words, { stdio: ['ignore', 'ignore', 'pipe'] }),
      since: clock(),
      last: '',
    }
    state = begun
    log.info({ command }, 'the packages of the trainer for HuggingFace models are being installed')
    createInterface({ input: begun.child.stderr }).on('line', (line) => {
      if (line.trim() !== '') begun.last = line.trim().slice(0, wordsMax)
    })
    const ended = (reason: string | null) => {
      if (state !== begun) return
      if (reason === null) log.info({}, 'the packages of the trainer for HuggingFace models are installed')
      else log.error({ reason }, 'the packages of the trainer for HuggingFace models could not be installed')
      // Where it succeeded, whoever looks finds it.
      state = reason === null ? null : { child: null, since: clock(), last: reason }
    }
    begun.child.on('error', (error) => ended(error.message))
    begun.child.on('close', (code, signal) => ended(code === 0 ? null : begun.last || `it ended with ${code ?? signal}`))
    return begun
  }

  return {
    ask() {
      const isOver = state !== null && state.child === null && clock().getTime() - state.since.getTime() >= againMs
      const { child, since, last } = state === null || isOver ? begin() : state
      if (!child) return `Its Python packages could not be installed: ${last.replace(/\.$/, '')}. It is tried again after some minutes.`
      const howFar = last === '' ? '' : ` (${last.replace(/\.$/, '')})`
      return `Its Python packages are being installed since ${since.toISOString()}${howFar}: submit again when they are there.`
    },
    close() {
      const child = state?.child
      state = null
      child?.kill()
    },
  }
}
