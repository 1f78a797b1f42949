import { mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { z } from 'zod'
import { type ExitRecord, readExit, readJson } from '../attempt-folder.js'
import { expandHosts } from './hostlist.js'

/** What an attempt's processes have left in its folder. */
export interface Traces {
  /** Launchers that claimed the folder, by rank. */
  claims: number[]
  /** How each rank ended that did. */
  exits: ExitRecord[]
  /** Slurm's word that the longest run was over. */
  timeIsUp: boolean
  /** Why Slurm refused the submission; null where it did not. */
  refusal: string | null
}

/** In an attempt's folder: nothing of it may run from now on, whatever Slurm still has of it. The batch script looks for it. */
export const overFile = 'over'

/** Says that the attempt is over, as far as the disk lets us. What claimed its folder before is not ended by it. */
export async function markOver(directory: string): Promise<void> {
  try {
    await mkdir(directory, { recursive: true })
    await writeFile(join(directory, overFile), '')
  } catch {
    // Where it cannot be written, launchers cannot claim the folder either.
  }
}

const refusalShape = z.object({ words: z.string() })
const requeuedShape = z.object({ from: z.number(), restarts: z.number(), time: z.coerce.date() })
const tokenShape = z.object({ token: z.string() })

/** Reads what is in an attempt's folder; a folder that is not there is empty. Throws where the disk cannot be read: that says nothing about the attempt. */
export async function readTraces(directory: string): Promise<Traces> {
  const names = await namesIn(directory)
  const ranks = (name: string) => names.flatMap((file) => rankOf(file, name))
  const exits = await Promise.all(ranks('exit').map((rank) => readExit(directory, rank)))
  return {
    claims: ranks('launcher'),
    exits: exits.filter((exit) => exit !== null),
    timeIsUp: names.includes('time-limit'),
    refusal: refusalShape.safeParse(await readJson(join(directory, 'refused.json'))).data?.words ?? null,
  }
}

/** How the scheduler itself began this attempt: `requeued.json`; null where we did. */
export async function readRequeue(directory: string): Promise<z.infer<typeof requeuedShape> | null> {
  return requeuedShape.safeParse(await readJson(join(directory, 'requeued.json'))).data ?? null
}

/**
 * What Slurm's daemons wrote of memory that was exceeded while the attempt ran, from `slurm.out` of the attempt that was submitted; null where they wrote nothing. The
 * job's own state does not always say it: only the step was killed. No trainer writes there.
 */
export async function readMemoryKill(directory: string, base: number): Promise<string | null> {
  const text = await readFile(join(dirname(directory), String(base), 'slurm.out'), 'utf8').catch(() => '')
  const own = text.slice(text.lastIndexOf('Attempt: '))
  return /^slurmstepd\S*: error: (.*(?:oom[-_ ]?kill|exceeded \w*\s?memory limit).*)$/im.exec(own)?.[1] ?? null
}

/** The newest attempt that the scheduler itself began of the submission of attempt `base`; `base` where it began none. */
export async function newestRequeued(attempts: string, base: number): Promise<number> {
  const numbers = (await namesIn(attempts)).map(Number).filter((number) => number > base)
  const requeues = await Promise.all(
    numbers.map(async (number) => ((await readRequeue(join(attempts, String(number))))?.restarts === number - base ? number : base)),
  )
  return Math.max(base, ...requeues)
}

/** The nodes that an attempt ran on, by its batch script; none where that has not run. */
export async function readNodes(directory: string): Promise<string[]> {
  return expandHosts((await readFile(join(directory, 'nodes'), 'utf8').catch(() => '')).trim())
}

/** The attempt's fencing token, by `launch.json`; empty where that is not there yet. */
export async function readToken(directory: string): Promise<string> {
  return tokenShape.safeParse(await readJson(join(directory, 'launch.json'))).data?.token ?? ''
}

/** A state of each launcher's sign of life that differs from the one before: `alive.<rank>`. */
export async function readSigns(directory: string, ranks: number): Promise<string[]> {
  return Promise.all(
    Array.from({ length: ranks }, (_, rank) =>
      stat(join(directory, `alive.${rank}`)).then(
        ({ mtimeMs }) => String(mtimeMs),
        () => '',
      ),
    ),
  )
}

async function namesIn(directory: string): Promise<string[]> {
  return await readdir(directory).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return []
    throw error
  })
}

function rankOf(file: string, name: string): number[] {
  const match = new RegExp(`^${name}(?:\\.(\\d+))?\\.json$`).exec(file)
  return match ? [Number(match[1] ?? 0)] : []
}
