// Writes schema.graphql as the code declares it; with --check only says whether it is as it should be.
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { main, root, SetupError } from './setup/steps.mjs'

await main(async () => {
  const { printSchema } = await import('graphql')
  const { schema } = await import('../dist/api/graphql/schema.js')
  const path = join(root, 'schema.graphql')
  const printed = `${printSchema(schema)}\n`
  const written = existsSync(path) ? readFileSync(path, 'utf8') : ''
  if (printed === written) return
  if (process.argv.includes('--check')) throw new SetupError('schema.graphql is stale; run `npm run schema`')
  writeFileSync(path, printed)
  process.stderr.write('schema.graphql written\n')
})
