import { rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

/** Why a trainer is asked to stop, and whether it is to save first. Write it before the engine is asked to `stop`: trainers read it when SIGTERM comes, and save where there is none. Where the folder is not there yet nothing is written: an attempt that its engine runs again by itself has none while it waits. */
export async function writeStopRequest(
  directory: string,
  { saveCheckpoint, reason }: { saveCheckpoint: boolean; reason: string },
): Promise<void> {
  const path = join(directory, 'stop.json')
  try {
    await writeFile(`${path}.part`, JSON.stringify({ save_checkpoint: saveCheckpoint, reason }))
    await rename(`${path}.part`, path)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
  }
}
