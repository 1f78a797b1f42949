import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { readLauncher } from '../../src/coordinator/engines/attempt-folder.js'
import { processesOf, toHandle } from '../../src/coordinator/engines/local/handle.js'
import { killTrainerGroup, signalProcess } from '../../src/coordinator/engines/local/processes.js'

/** Ends the attempts that outlived their coordinator, as they are meant to, so that nothing of a test does. */
export async function endAttempts(dataDir: string): Promise<void> {
  for (const name of attemptsIn(dataDir)) {
    const directory = join(dataDir, 'jobs', name)
    const record = await readLauncher(directory)
    if (!record || record === 'sealed') continue
    const { launcher, trainer } = processesOf(toHandle(record))
    signalProcess(launcher, 'SIGKILL')
    if (trainer) killTrainerGroup(trainer, directory)
  }
}

function attemptsIn(dataDir: string): string[] {
  const folders = (path: string) => {
    try {
      return readdirSync(join(dataDir, 'jobs', path)).map((name) => join(path, name))
    } catch {
      return []
    }
  }
  return folders('')
    .flatMap(folders)
    .flatMap((job) => folders(join(job, 'attempts')))
}
