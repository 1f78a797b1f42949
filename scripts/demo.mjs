// Sets everything up, then runs `scaimind demo` with the same arguments.
import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { root } from './setup/steps.mjs'

await import('./setup.mjs')

if (!process.exitCode) {
  const demo = spawn(process.execPath, [join(root, 'bin/scaimind.js'), 'demo', ...process.argv.slice(2)], { stdio: 'inherit' })
  // The demo stops in order by itself; a signal that it gets twice, from the terminal and from here, is one to it.
  for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => demo.kill(signal))
  demo.on('exit', (code) => {
    process.exitCode = code ?? 1
  })
}
