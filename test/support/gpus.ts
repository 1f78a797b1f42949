import { mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** What nvidia-smi says of a GPU: by default, of an A100 that is half busy. */
export const nvidiaLine = (index: number, { used = '1024', busy = '50', watts = '250.5', celsius = '61' } = {}): string =>
  `${index}, NVIDIA A100-SXM4-80GB, 81920, ${used}, ${busy}, ${watts}, ${celsius}, GPU-${index}`

/** A PATH on which a machine has so many GPUs, as its nvidia-smi says. */
export function pathWithGpus(count: number): string {
  const lines = Array.from({ length: count }, (_, index) => `echo "${nvidiaLine(index)}"`)
  return pathWith('nvidia-smi', lines.join('\n'))
}

/** A PATH on which a program of this name, a shell script, comes before all others. */
export function pathWith(name: string, script: string): string {
  const folder = mkdtempSync(join(tmpdir(), 'scaimind-gpus-'))
  writeFileSync(join(folder, name), `#!/bin/sh\n${script}\n`, { mode: 0o755 })
  return `${folder}:${process.env.PATH}`
}
