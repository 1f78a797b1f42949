import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { readLauncher } from '../../dist/coordinator/engines/attempt-folder.js'
import { processesOf, toHandle } from '../../dist/coordinator/engines/local/handle.js'
import { killTrainerGroup, signalProcess } from '../../dist/coordinator/engines/local/processes.js'

/** Ends the attempts that outlived their coordinator, as they are meant to. */
export async function endAttempts(dataDir) {
  const folders = (path) => {
    try {
      return readdirSync(path).map((name) => join(path, name))
    } catch {
      return []
    }
  }
  const jobs = folders(join(dataDir, 'jobs')).flatMap(folders)
  for (const directory of jobs.flatMap((job) => folders(join(job, 'attempts')))) {
    const record = await readLauncher(directory)
    if (!record || record === 'sealed') continue
    const { launcher, trainer } = processesOf(toHandle(record))
    signalProcess(launcher, 'SIGKILL')
    if (trainer) killTrainerGroup(trainer, directory)
  }
}
