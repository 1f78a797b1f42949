import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, it, vi } from 'vitest'
import { type InstallOptions, installTrainers } from '../../src/cli/trainers/install.js'
import { hfEnvironment } from '../../src/hf-environment.js'

const folder = mkdtempSync(join(tmpdir(), 'scaimind-install-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

/** A Python as far as an installation goes: it writes down what it is asked, makes environments that are itself, and fails at packages while `no-network` is there. */
const python = join(folder, 'python')
const asked = join(folder, 'asked')
writeFileSync(
  python,
  `#!/bin/sh
echo "$*" >> ${asked}
case "$*" in
  "-c"*) echo 3.11 ;;
  "-m venv"*) mkdir -p "$3/bin" && cp "$0" "$3/bin/python" ;;
  "-m pip"*) [ ! -e ${folder}/no-network ] || { echo "no such host" >&2; exit 1; } ;;
esac
`,
  { mode: 0o755 },
)
const trainer = join(folder, 'hf')
mkdirSync(trainer)
writeFileSync(join(trainer, 'requirements.lock'), 'nvidia-nccl-cu13==2.30\ntorch==2.15.0\ntriton==3.8.0\ntrl==1.16.0\n')

/** A process that runs a script, in which `it` is a module of the command line. */
function nodeWith(module: string, script: string) {
  const url = new URL(`../../dist/cli/${module}`, import.meta.url).href
  return spawn(process.execPath, ['--input-type=module', '-e', `import * as it from ${JSON.stringify(url)}\n${script}`])
}

async function install(more: Partial<InstallOptions> = {}): Promise<string[]> {
  const environment = hfEnvironment(folder, trainer)
  if (!environment) throw new Error('There is a lock file.')
  rmSync(asked, { force: true })
  await installTrainers(environment, { python, indexUrl: null, extras: [], screen: { write: () => {} }, ...more })
  expect(existsSync(environment.marker)).toBe(true)
  return existsSync(asked) ? readFileSync(asked, 'utf8').trim().split('\n') : []
}

it('an environment whose making failed is made anew, and one that is whole is left alone', async () => {
  writeFileSync(join(folder, 'no-network'), '')
  await expect(install()).rejects.toThrow(/no such host\n.*pip install …` failed \(exit code 1\)/)
  rmSync(join(folder, 'no-network'))
  const steps = await install()
  expect(steps.map((step) => step.replace(folder, '').slice(0, 14))).toEqual(
    ['-c import sys;', '-m venv /scaimi', '-m pip install'].map((s) => s.slice(0, 14)),
  )
  expect(steps.at(-1)).toMatch(/ nvidia-nccl-cu13==2\.30 torch==2\.15\.0 triton==3\.8\.0 trl==1\.16\.0$/)
  expect(await install()).toEqual([])
  expect((await install({ extras: ['qlora'] })).join()).toMatch(/-m pip install .* bitsandbytes==[\d.]+$/)
})

it('an environment is made anew where the Python that it was made with is gone', async () => {
  rmSync(hfEnvironment(folder, trainer)?.python ?? '')
  expect((await install())[1]).toMatch(/^-m venv/)
})

it('a process that is asked to end ends the program that it waits for, and what that has started', async () => {
  const [started, ended] = [join(folder, 'started'), join(folder, 'ended')]
  const script = `(trap ': > ${ended}; exit' TERM; : > ${started}; while :; do sleep 0.05; done) & wait`
  const child = nodeWith('trainers/install.js', `await it.runProgram('/bin/sh', ['-c', ${JSON.stringify(script)}])`)
  await vi.waitFor(() => expect(existsSync(started)).toBe(true), 30_000)
  child.kill('SIGTERM')
  await once(child, 'close')
  expect(existsSync(ended)).toBe(true)
})

it('of processes that find a lock which was left behind, one gets it', async () => {
  const lock = join(folder, 'a.lock')
  writeFileSync(lock, JSON.stringify({ pid: 1, startTime: 'never' }))
  // Each keeps what it got until all have tried.
  const script = `try { it.takeLock(${JSON.stringify(lock)}, String); console.log('got') } catch { console.log('refused') }
    process.stdin.resume()`
  const all = Array.from({ length: 4 }, () => nodeWith('up/lock.js', script))
  const said = await Promise.all(all.map(async ({ stdout }) => String((await once(stdout, 'data'))[0]).trim()))
  for (const child of all) child.stdin.end()
  expect(said.toSorted()).toEqual(['got', 'refused', 'refused', 'refused'])
})

it('torch comes from an index of its own with what it brings, all else from where pip is set to', async () => {
  rmSync(hfEnvironment(folder, trainer)?.folder ?? '', { recursive: true })
  const steps = await install({ indexUrl: 'https://example.com/cpu' })
  expect(steps.slice(-2)).toEqual([
    expect.stringMatching(/--index-url https:\/\/example\.com\/cpu torch==2\.15\.0$/),
    expect.stringMatching(/ off trl==1\.16\.0$/),
  ])
})

it('a Python that is too old is refused', async () => {
  rmSync(hfEnvironment(folder, trainer)?.folder ?? '', { recursive: true })
  const old = join(folder, 'old')
  writeFileSync(old, '#!/bin/sh\necho 3.9\n', { mode: 0o755 })
  await expect(install({ python: old })).rejects.toThrow('is Python 3.9; 3.10 or newer is needed: name one with --python.')
})
