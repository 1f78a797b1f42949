import { mkdirSync, mkdtempSync, realpathSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { beforeEach, describe, expect, it } from 'vitest'
import type { InvalidInput } from '../../../src/contract/failure.js'
import { resolveAllowedFolder, resolveAllowedPath } from '../../../src/coordinator/data/allowed-paths.js'

let base: string
let root: string
const at = (path: string) => ({
  path,
  tenantId: 'acme',
  dataRoots: [join(base, 'files/{tenant}'), join(base, 'second')],
  field: 'data_config.sources[0].path',
})
const refused = (path: string, resolve = resolveAllowedPath): Promise<string> =>
  resolve(at(path)).then(
    (found) => `allowed: ${found}`,
    (error: InvalidInput) => {
      expect(error.code).toBe('INVALID_ARGUMENT')
      expect(error.fields[0]?.path).toBe('data_config.sources[0].path')
      return (error.fields[0]?.message ?? '').replace(JSON.stringify(path), 'PATH')
    },
  )

beforeEach(() => {
  base = realpathSync(mkdtempSync(join(tmpdir(), 'scaimind-paths-')))
  root = join(base, 'files/acme')
  for (const folder of ['files/acme/sub', 'files/other', 'second', 'outside']) mkdirSync(join(base, folder), { recursive: true })
  for (const file of ['files/acme/train.jsonl', 'files/acme/sub/more.jsonl', 'files/other/secret', 'second/train.txt', 'outside/secret']) {
    writeFileSync(join(base, file), 'x')
  }
})

describe('A path that a tenant names', () => {
  it('is its real path where it lies under a data root', async () => {
    expect(await resolveAllowedPath(at(join(root, 'train.jsonl')))).toBe(join(root, 'train.jsonl'))
    expect(await resolveAllowedPath(at(join(root, 'sub/../train.jsonl')))).toBe(join(root, 'train.jsonl'))
    expect(await resolveAllowedPath(at(root))).toBe(root)
  })

  it('is looked for in each root in turn where it is relative', async () => {
    expect(await resolveAllowedPath(at('sub/more.jsonl'))).toBe(join(root, 'sub/more.jsonl'))
    expect(await resolveAllowedPath(at('train.txt'))).toBe(join(base, 'second/train.txt'))
  })

  it('may be a link that stays within the roots', async () => {
    symlinkSync(join(base, 'second'), join(root, 'link'))
    expect(await resolveAllowedPath(at('link/train.txt'))).toBe(join(base, 'second/train.txt'))
  })

  it('is found under a root that is itself a link', async () => {
    symlinkSync(join(base, 'files'), join(base, 'alias'))
    const options = { ...at(join(base, 'alias/acme/train.jsonl')), dataRoots: [join(base, 'alias/{tenant}')] }
    expect(await resolveAllowedPath(options)).toBe(join(root, 'train.jsonl'))
  })

  it('is said not to exist only where it would lie inside', async () => {
    expect(await refused(join(root, 'missing'))).toBe('PATH does not exist.')
    expect(await refused('missing')).toBe('PATH does not exist.')
    expect(await refused(join(root, 'train.jsonl/more'))).toBe('PATH does not exist.')
  })

  it('is refused outside in the same words, whether it exists or not', async () => {
    symlinkSync(join(base, 'outside'), join(root, 'link'))
    symlinkSync(join(base, 'outside/secret'), join(root, 'to-secret'))
    symlinkSync(join(base, 'outside/missing'), join(root, 'to-missing'))
    symlinkSync('../../outside/missing', join(root, 'relative-to-missing'))
    const answers = await Promise.all(
      [
        join(base, 'outside/secret'),
        join(base, 'outside/missing'),
        join(base, 'outside/secret/below'),
        join(base, 'files/other/secret'),
        join(base, 'files/acme-not'),
        join(root, '../other/secret'),
        join(root, '../other/missing'),
        `${root}/../../outside/missing`,
        '../other/secret',
        '../../outside/missing',
        'link/secret',
        'link/missing',
        'to-secret',
        'to-missing',
        'relative-to-missing',
        'missing/../../../outside/secret',
        'nul\0byte',
      ].map((path) => refused(path)),
    )
    expect(new Set(answers)).toEqual(new Set([`PATH is not under a folder that files may be named in: ${root}, ${join(base, 'second')}.`]))
  })

  it('is refused where links go round in circles', async () => {
    symlinkSync(join(root, 'b'), join(root, 'a'))
    symlinkSync(join(root, 'a'), join(root, 'b'))
    expect(await refused('a')).toContain('is not under')
  })

  it('is required', async () => {
    expect(await refused('')).toBe('A path is required.')
  })
})

describe('A folder that a tenant names for output', () => {
  it('need not exist, but its nearest existing parent lies under a root', async () => {
    expect(await resolveAllowedFolder(at('out/first'))).toBe(join(root, 'out/first'))
    expect(await resolveAllowedFolder(at(join(base, 'second/out')))).toBe(join(base, 'second/out'))
    symlinkSync(join(base, 'outside'), join(root, 'link'))
    expect(await refused('link/out', resolveAllowedFolder)).toContain('is not under')
    expect(await refused('../out', resolveAllowedFolder)).toContain('is not under')
  })

  it('is no file', async () => {
    expect(await refused('train.jsonl', resolveAllowedFolder)).toContain('is a file')
    expect(await refused('train.jsonl/out', resolveAllowedFolder)).toContain('is a file')
  })
})
