import { mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** A PATH on which a machine has so many GPUs, as its nvidia-smi says. */
export function pathWithGpus(count: number): string {
  const folder = mkdtempSync(join(tmpdir(), 'scaimind-gpus-'))
  const lines = Array.from({ length: count }, (_, index) => `echo "${index}, NVIDIA A100-SXM4-80GB, 81920, 1024, 50"`)
  writeFileSync(join(folder, 'nvidia-smi'), `#!/bin/sh\n${lines.join('\n')}\n`, { mode: 0o755 })
  return `${folder}:${process.env.PATH}`
}
