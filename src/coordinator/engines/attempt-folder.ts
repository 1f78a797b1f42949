import { link, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'

const processShape = z.object({ pid: z.number().int(), start_time: z.string() })
const launcherShape = processShape.extend({
  token: z.string(),
  boot_id: z.string(),
  time: z.coerce.date(),
  trainer: processShape.nullable(),
})
const exitShape = z.object({ code: z.number().int().nullable(), signal: z.string().nullable(), time: z.coerce.date() })
const sealShape = z.object({ never_started: z.literal(true) })

/** Who runs an attempt: `launcher.json`. The trainer is null for the moment before it is there. */
export type LauncherRecord = z.infer<typeof launcherShape>
/** How an attempt's trainer ended: `exit.json`. */
export type ExitRecord = z.infer<typeof exitShape>

/** Reads `launcher.json`: who claimed the folder, `sealed` where it was made sure that nobody will, or null. */
export async function readLauncher(directory: string): Promise<LauncherRecord | 'sealed' | null> {
  const record = await readJson(join(directory, 'launcher.json'))
  if (sealShape.safeParse(record).success) return 'sealed'
  return launcherShape.safeParse(record).data ?? null
}

/** Reads a rank's `exit.json`, which of ranks beyond 0 has the number; null where it is not there. */
export async function readExit(directory: string, rank = 0): Promise<ExitRecord | null> {
  return exitShape.safeParse(await readJson(join(directory, rank === 0 ? 'exit.json' : `exit.${rank}.json`))).data ?? null
}

/** Whether a launch was ever ordered in the folder. */
export async function wasOrdered(directory: string): Promise<boolean> {
  return (await readJson(join(directory, 'launch.json'))) !== null
}

/** Writes the launcher's order. It holds the job's environment, so only its owner may read it. */
export async function writeOrder(directory: string, order: object): Promise<void> {
  const path = join(directory, 'launch.json')
  await rm(`${path}.part`, { force: true })
  await writeFile(`${path}.part`, JSON.stringify(order), { mode: 0o600 })
  await rename(`${path}.part`, path)
}

/**
 * Takes the launcher's place in a folder where no launcher is yet, so that one that is still on its way stops before it starts anything:
 * only so can "never started" be said. Where a launcher was faster, nothing happens.
 */
export async function sealFolder(directory: string): Promise<void> {
  const path = join(directory, 'launcher.json')
  await writeFile(`${path}.seal`, JSON.stringify({ never_started: true }))
  try {
    await link(`${path}.seal`, path)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
  } finally {
    await rm(`${path}.seal`, { force: true })
  }
}

/** Makes room for a launcher in a sealed folder. */
export async function unsealFolder(directory: string): Promise<void> {
  if ((await readLauncher(directory)) === 'sealed') await rm(join(directory, 'launcher.json'), { force: true })
}

/** Reads a file of JSON; null where it is not there, or cut short. */
export async function readJson(path: string): Promise<unknown> {
  try {
    return JSON.parse(await readFile(path, 'utf8'))
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT' || error instanceof SyntaxError) return null
    throw error
  }
}
