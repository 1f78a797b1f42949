// What must hold before a change is merged, tests aside. Every check runs, so that all that is wrong is seen at once.
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { root } from './setup/steps.mjs'

const checks = [
  ['types', 'node_modules/typescript/bin/tsc', '-p', 'tsconfig.test.json'],
  ['lint and format', 'node_modules/@biomejs/biome/bin/biome', 'check', '--error-on-warnings', '.'],
  ['architecture', 'node_modules/vitest/vitest.mjs', 'run', '--project', 'architecture'],
  ['schema.graphql', 'scripts/schema.mjs', '--check'],
  ['docs/fields.md', 'scripts/fields.mjs', '--check'],
]

const failed = checks.filter(([name, script, ...args]) => {
  process.stderr.write(`- ${name}\n`)
  return spawnSync(process.execPath, [join(root, script), ...args], { cwd: root, stdio: 'inherit' }).status !== 0
})
if (failed.length > 0) {
  process.stderr.write(`\nnpm run check failed: ${failed.map(([name]) => name).join(', ')}\n`)
  process.exitCode = 1
}
