import { join } from 'node:path'
import { hashOf, isFresh, writeStamp } from './stamp.mjs'
import { root, runQuietly, step } from './steps.mjs'

/** Compiles src into dist where a source is newer than what is there. */
export async function build() {
  const hash = hashOf(['src', 'tsconfig.json', 'package-lock.json'])
  if (isFresh('dist/.built', hash, ['dist/cli/main.js'])) return
  await step('Building', async () => {
    await runQuietly(process.execPath, [join(root, 'node_modules/typescript/bin/tsc'), '-p', 'tsconfig.json', '--pretty', 'false'])
    writeStamp('dist/.built', hash)
  })
}
