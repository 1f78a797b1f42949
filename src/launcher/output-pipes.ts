import { execFileSync } from 'node:child_process'
import { closeSync, constants, mkdtempSync, openSync, rmSync } from 'node:fs'
import { Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'

/** One output stream of a trainer. */
export interface OutputPipe {
  /** The descriptor for the trainer; close it here once the trainer has it, or the stream never ends. */
  writeEnd: number
  /** What the trainer writes; closes when nobody can write any more. */
  reader: Socket
}

/**
 * Real pipes. What Node gives a child are sockets, and those cannot be opened again by name, as a shell script does that writes to
 * /dev/stderr. A named pipe can; its name goes at once.
 */
export function openOutputPipes(): { stdout: OutputPipe; stderr: OutputPipe } {
  const folder = mkdtempSync(join(tmpdir(), 'scaimind-output-'))
  try {
    return { stdout: openPipe(join(folder, 'stdout')), stderr: openPipe(join(folder, 'stderr')) }
  } finally {
    rmSync(folder, { recursive: true })
  }
}

const quietMs = 2000
const drainMs = 10_000

/** Hands on what a pipe brings, and its end. */
export function drain(reader: Socket, { data, end }: { data: (chunk: Buffer) => void; end: () => void }): { finished(): Promise<void> } {
  reader.on('data', data)
  // Its close tells the same.
  reader.on('error', () => {})
  const closed = new Promise<void>((resolve) => reader.once('close', () => resolve())).then(end)
  return {
    /** After the death of its writers: resolves when all is read. A process that left their group may hold the pipe for ever, so it is closed when it brings nothing any more, or too much. */
    async finished() {
      const step = quietMs / 8
      let quiet = 0
      let bytes = -1
      // In steps, with a look at the pipe in each: on a machine that is very busy one long wait may be over before anything was read.
      for (let waited = 0; quiet < quietMs && waited < drainMs && !reader.closed; waited += step) {
        await Promise.race([closed, delay(step)])
        quiet = reader.bytesRead === bytes ? quiet + step : 0
        bytes = reader.bytesRead
      }
      reader.destroy()
      await closed
    },
  }
}

function openPipe(path: string): OutputPipe {
  execFileSync('mkfifo', ['-m', '600', path])
  // Without a writer the reader would see the end at once, and without a reader the writer would wait: this one is both.
  const both = openSync(path, constants.O_RDWR | constants.O_NONBLOCK)
  const readEnd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK)
  const writeEnd = openSync(path, constants.O_WRONLY)
  closeSync(both)
  return { writeEnd, reader: new Socket({ fd: readEnd, readable: true, writable: false }) }
}
