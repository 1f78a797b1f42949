// Runs `scaimind up` with the same arguments, compiles on change, and restarts coordinator and API with what was compiled.
import { spawn } from 'node:child_process'
import { watch } from 'node:fs'
import { join } from 'node:path'
import { generate } from './setup/generate.mjs'
import { root } from './setup/steps.mjs'

await import('./setup.mjs')

if (!process.exitCode) {
  const compiler = spawn(
    process.execPath,
    [join(root, 'node_modules/typescript/bin/tsc'), '-p', 'tsconfig.json', '--watch', '--preserveWatchOutput'],
    {
      cwd: root,
      stdio: 'inherit',
    },
  )
  const up = spawn(process.execPath, [join(root, 'bin/scaimind.js'), 'up', ...process.argv.slice(2)], { stdio: 'inherit' })

  const restart = afterQuiet(700, () => up.kill('SIGUSR2'))
  watch(join(root, 'dist'), { recursive: true }, (_event, file) => {
    if (file?.endsWith('.js')) restart()
  })
  const regenerate = afterQuiet(300, () => generate().catch((error) => process.stderr.write(`${error.message}\n`)))
  for (const folder of ['prisma', 'proto']) watch(join(root, folder), { recursive: true }, regenerate)

  for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => up.kill(signal))
  up.on('exit', (code) => {
    compiler.kill()
    process.exit(code ?? 1)
  })
}

/** Calls once nothing has happened for a while. */
function afterQuiet(ms, work) {
  let timer
  return () => {
    clearTimeout(timer)
    timer = setTimeout(work, ms)
  }
}
