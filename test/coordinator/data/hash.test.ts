import { createHash } from 'node:crypto'
import { mkdtempSync, renameSync, rmSync, utimesSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { fileHashes } from '../../../src/coordinator/data/hash.js'
import { type Database, openDatabase, underLease } from '../../../src/coordinator/jobs/records/database.js'
import { freshDatabase } from '../../support/database.js'

const folder = mkdtempSync(join(tmpdir(), 'scaimind-hash-'))
let database: Database

beforeAll(async () => {
  database = underLease(openDatabase(await freshDatabase('coordinator')), 0n)
})
afterAll(async () => {
  await database?.pen.client.$disconnect()
  rmSync(folder, { recursive: true, force: true })
})

const file = (name: string, content: string | Buffer) => {
  writeFileSync(join(folder, name), content)
  return join(folder, name)
}
const hashOf = (text: string) => `sha256:${createHash('sha256').update(text).digest('hex')}`

describe('The hash of a file', () => {
  it('is that of its records, however their lines end and whatever is empty between them', async () => {
    const hashes = fileHashes({ database, clock: () => new Date() })
    const expected = { contentHash: hashOf('{"a":1}\n{"a":2}\n'), records: 2 }
    expect(await hashes.of(file('unix.jsonl', '{"a":1}\n{"a":2}\n'))).toEqual({ ...expected, bytes: 16 })
    expect(await hashes.of(file('dos.jsonl', '{"a":1}\r\n\r\n{"a":2}'))).toMatchObject(expected)
    const long = 'x'.repeat(5 * 2 ** 20)
    expect(await hashes.of(file('long.txt', `${long}\r\nshort`))).toMatchObject({ contentHash: hashOf(`${long}\nshort\n`), records: 2 })
    expect(await hashes.of(file('empty.txt', '\n \n'))).toMatchObject({ contentHash: hashOf(''), records: 0 })
  })

  it('is that of its bytes where its format has no lines', async () => {
    const hashes = fileHashes({ database, clock: () => new Date() })
    expect(await hashes.of(file('a.parquet', 'a\r\nb'))).toMatchObject({ contentHash: hashOf('a\r\nb'), records: 0 })
    expect(await hashes.of(join(folder, 'a.parquet'), 'txt')).toMatchObject({ records: 2 })
  })

  it('is remembered until the file changes', async () => {
    const hashes = fileHashes({ database, clock: () => new Date() })
    const path = file('kept.txt', 'one\n')
    expect(await hashes.known(path)).toBeNull()
    const first = await hashes.of(path)
    expect(await fileHashes({ database, clock: () => new Date() }).known(path)).toEqual(first)
    utimesSync(path, new Date(), new Date(1_700_000_000_000))
    expect(await hashes.known(path)).toBeNull()
    renameSync(file('other.txt', 'two\n'), path)
    expect((await hashes.of(path)).contentHash).toBe(hashOf('two\n'))
    await expect(hashes.of(join(folder, 'absent.txt'))).rejects.toThrow('ENOENT')
  })
})
