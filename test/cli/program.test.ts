import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Command } from 'commander'
import { afterAll, describe, expect, inject, it } from 'vitest'
import { createProgram } from '../../src/cli/program.js'
import { freshDatabase } from '../support/database.js'
import { scaimind } from './command.js'

const folder = mkdtempSync(join(tmpdir(), 'scaimind-cli-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const commandsOf = (command: Command): Command[] => [command, ...command.commands.flatMap(commandsOf)]
const nameOf = (command: Command): string => (command.parent ? `${nameOf(command.parent)} ${command.name()}` : command.name())

describe('the command', () => {
  it('every subcommand says what it does', () => {
    const silent = commandsOf(createProgram()).filter((command) => command.description() === '')
    expect(silent.map(nameOf)).toEqual([])
  })

  it('--help is no error and shows an example', async () => {
    const { code, stdout } = await scaimind(['job', 'submit', '--help']).finished
    expect(code).toBe(0)
    expect(stdout).toContain('scaimind job submit -f job.yaml --watch')
  })

  it.each([
    [['frobnicate'], /unknown command 'frobnicate'/],
    [['up', '--port', '99999'], /--port.*It is a number from 0 to 65535/],
    [['job', 'submit'], /required option '-f, --file <path>'/],
    [['job', 'list', '--status', 'DONE'], /--status.*It is one of PENDING, QUEUED/],
    [['keys', 'create', '--tenant', '../x', '--user', 'u'], /--tenant.*It is 1 to 64 letters/],
  ])('%j is wrong usage: exit code 2 and what would be right', async (args, message) => {
    const { code, stderr } = await scaimind(args).finished
    expect(code).toBe(2)
    expect(stderr).toMatch(message)
  })

  it('a job file that is not there, or is not YAML, is named', async () => {
    expect(await scaimind(['job', 'submit', '-f', 'none.yaml'], { cwd: folder }).finished).toMatchObject({
      code: 2,
      stderr: 'There is no file none.yaml.\n',
    })
    writeFileSync(join(folder, 'bad.yaml'), 'name: [a\nb: c\n')
    const { code, stderr } = await scaimind(['job', 'submit', '-f', 'bad.yaml'], { cwd: folder }).finished
    expect(code).toBe(2)
    expect(stderr).toMatch(/^bad\.yaml: .*line 2/)
  })

  it('without a server, it says how to name one', async () => {
    const { code, stderr } = await scaimind(['job', 'list'], { cwd: folder }).finished
    expect(code).toBe(2)
    expect(stderr).toBe('No server: start one here with `scaimind up`, or say where it is with --server URL or SCAIMIND_URL.\n')
  })

  it('a server that does not answer is named', async () => {
    const { code, stderr } = await scaimind(['job', 'list', '--server', 'http://127.0.0.1:9', '--key', 'sgk_x'], { cwd: folder }).finished
    expect(code).toBe(1)
    expect(stderr).toMatch(/^Nothing answers at http:\/\/127\.0\.0\.1:9\. /)
  })

  it.each(['coordinator', 'api'])('%s names every setting that is missing or wrong in one line', async (name) => {
    const { code, stderr } = await scaimind([name], { env: { SCAIMIND_PORT: 'x', SCAIMIND_COORDINATOR_PORT: 'x' } }).finished
    expect(code).toBe(1)
    expect(stderr).toMatch(/^Settings: .*DATABASE_URL.*_PORT.*SCAIMIND_API_SECRET.*\n$/)
  })
})

describe('migrate', () => {
  it('makes both databases, and has nothing to do the second time', async () => {
    const url = new URL(inject('databaseServer'))
    url.pathname = `/test_cli_${process.pid}`
    const env = { DATABASE_URL: url.href }
    const first = await scaimind(['migrate', '--json'], { env }).finished
    expect(first).toMatchObject({ code: 0, stderr: '' })
    expect(JSON.parse(first.stdout).api.length).toBeGreaterThan(0)
    expect(JSON.parse((await scaimind(['migrate', '--json'], { env }).finished).stdout)).toEqual({ api: [], coordinator: [] })
  })

  it('without DATABASE_URL, says how it looks', async () => {
    expect(await scaimind(['migrate']).finished).toMatchObject({
      code: 2,
      stderr: 'DATABASE_URL is not set; it looks like mysql://user:password@host:3306.\n',
    })
  })
})

describe('keys', () => {
  it('a key is made, listed without itself, and revoked once', async () => {
    const env = { DATABASE_URL: await freshDatabase('api') }
    const created = await scaimind(['keys', 'create', '--tenant', 'acme', '--user', 'ada', '--expires', '30d', '--json'], { env }).finished
    const { key, key_id: keyId } = JSON.parse(created.stdout) as { key: string; key_id: string }
    expect(key).toMatch(/^sgk_/)

    const listed = await scaimind(['keys', 'list', '--tenant', 'acme'], { env }).finished
    expect(listed.stdout).toContain(`${keyId}  acme  ada`)
    expect(listed.stdout).not.toContain(key)

    expect(await scaimind(['keys', 'revoke', keyId], { env }).finished).toMatchObject({ code: 0, stdout: `${keyId} is revoked.\n` })
    expect((await scaimind(['keys', 'revoke', keyId], { env }).finished).code).toBe(1)
  })

  it('a grant that is neither role nor permission is refused', async () => {
    const env = { DATABASE_URL: await freshDatabase('api') }
    const { code, stderr } = await scaimind(['keys', 'create', '--tenant', 'acme', '--user', 'ada', '--grant', 'king'], { env }).finished
    expect(code).toBe(2)
    expect(stderr).toMatch(/^--grant: .*king/)
  })
})
