import { randomBytes } from 'node:crypto'
import { type FileHandle, mkdir, open, readdir, rename, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { Failure } from '../../contract/failure.js'
import { type DatasetContent, type DatasetFormat, datasetReader } from './dataset-records.js'

/** A data set whose bytes are on disk, under a temporary name. */
export interface ReceivedDataset extends DatasetContent {
  /** Gives the file its lasting name, or throws it away where another has that already. */
  keepAs(path: string): Promise<void>
  discard(): Promise<void>
}

/** Receives data sets into one folder, which holds nothing else. */
export interface Uploads {
  /** Writes the bytes as they come. Throws InvalidInput with the line of a record that is not usable, PAYLOAD_TOO_LARGE, or what the content throws; nothing is left then. */
  receive(content: AsyncIterable<Buffer>, format: DatasetFormat): Promise<ReceivedDataset>
  /** Throws away what a crash left; call before the first upload. */
  sweep(): Promise<void>
}

/** Uploads of at most `bytesMax` each. */
export function uploads({ folder, bytesMax }: { folder: string; bytesMax: number }): Uploads {
  return {
    async receive(content, format) {
      await mkdir(folder, { recursive: true, mode: 0o700 })
      const path = join(folder, `${randomBytes(12).toString('hex')}.part`)
      const file = await open(path, 'wx', 0o600)
      try {
        const found = await write(content, file, format, bytesMax)
        await file.sync()
        return { ...found, keepAs: (target) => keep(path, target), discard: () => rm(path, { force: true }) }
      } catch (error) {
        await rm(path, { force: true })
        throw error
      } finally {
        await file.close()
      }
    },

    async sweep() {
      const left = await readdir(folder).catch(() => [])
      await Promise.all(left.filter((name) => name.endsWith('.part')).map((name) => rm(join(folder, name), { force: true })))
    },
  }
}

async function write(content: AsyncIterable<Buffer>, file: FileHandle, format: DatasetFormat, bytesMax: number): Promise<DatasetContent> {
  const reader = datasetReader(format)
  let bytes = 0
  for await (const chunk of content) {
    bytes += chunk.length
    if (bytes > bytesMax) throw new Failure('PAYLOAD_TOO_LARGE', `A data set has at most ${bytesMax} bytes here.`)
    reader.update(chunk)
    await file.write(chunk)
  }
  return reader.digest()
}

async function keep(path: string, target: string): Promise<void> {
  await mkdir(dirname(target), { recursive: true, mode: 0o700 })
  // The same content under the same name: whoever comes second replaces it by itself.
  await rename(path, target)
}
