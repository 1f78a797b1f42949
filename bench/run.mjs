// `npm run bench -- NAME [--json]`: runs bench/NAME.mjs, which exports measure() and answers one flat object of figures.
import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'

const [name, ...flags] = process.argv.slice(2)
const file = join(import.meta.dirname, `${name}.mjs`)
if (!name || !/^[a-z-]+$/.test(name) || name === 'run' || !existsSync(file)) {
  const names = readdirSync(import.meta.dirname).filter((entry) => entry.endsWith('.mjs') && entry !== 'run.mjs')
  process.stderr.write(`Usage: npm run bench -- NAME [--json]; NAME is one of ${names.map((entry) => entry.slice(0, -4)).join(', ')}.\n`)
  process.exit(2)
}
const { measure } = await import(pathToFileURL(file).href)
const figures = await measure()
if (flags.includes('--json')) process.stdout.write(`${JSON.stringify(figures)}\n`)
else for (const [figure, value] of Object.entries(figures)) process.stdout.write(`${figure.padEnd(32)} ${value}\n`)
