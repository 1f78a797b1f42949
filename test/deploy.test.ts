import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { Ajv } from 'ajv'
import { describe, expect, it } from 'vitest'
import { parse } from 'yaml'

const root = resolve(import.meta.dirname, '..')
const read = (path: string) => readFileSync(join(root, path), 'utf8')
const readYaml = (path: string) => parse(read(path), { merge: true })
const chart = 'deploy/helm/scaimind'
const files = readdirSync(join(root, 'deploy'), { recursive: true, withFileTypes: true })
  .filter((entry) => entry.isFile() && entry.name !== '.env')
  .map((entry) => join(entry.parentPath, entry.name).slice(root.length + 1))

const settings = new Set([...read('src/config.ts').matchAll(/^ {2}([A-Z][A-Z0-9_]+):/gm)].map(([, name]) => name))
const examples = new Set([...read('deploy/.env.example').matchAll(/^([A-Z_]+)=/gm)].map(([, name]) => name))

interface Compose {
  services: Record<string, { command?: string[]; depends_on?: Record<string, unknown>; environment?: Record<string, string> }>
}
const compose: Compose = readYaml('deploy/compose.yaml')
const withSlurm: Compose = readYaml('deploy/compose.slurm.yaml')

describe('deploy/', () => {
  it.each([...files, 'docs/kubernetes.md'])('%s names only settings that there are', (path) => {
    const named = [...read(path).matchAll(/\b(?:SCAIMIND_|OTEL_|COORDINATOR_DATABASE_URL)[A-Z0-9_]*\b/g)].map(([name]) => name)
    const prefixes = ['SCAIMIND_', 'OTEL_']
    expect(named.filter((name) => !settings.has(name) && !examples.has(name) && !prefixes.includes(name))).toEqual([])
  })

  it('.env.example has exactly what the compose files ask for', () => {
    const asked = ['compose.yaml', 'compose.slurm.yaml'].flatMap((name) => [...read(`deploy/${name}`).matchAll(/\$\{([A-Z_]+)/g)])
    expect([...new Set(asked.map(([, name]) => name))].sort()).toEqual([...examples].sort())
  })

  it('the API of compose asks coordinators that are services and have a certificate', () => {
    for (const { api } of [compose.services, withSlurm.services]) {
      const hosts = String(api?.environment?.SCAIMIND_GRPC_HOST).split(',')
      expect(Object.keys({ ...compose.services, ...withSlurm.services })).toEqual(expect.arrayContaining(hosts))
      expect(compose.services.certificates?.command).toEqual(expect.arrayContaining(hosts))
    }
  })

  it('the services of compose wait only for services that there are', () => {
    for (const { depends_on = {} } of Object.values(compose.services)) {
      expect(Object.keys(compose.services)).toEqual(expect.arrayContaining(Object.keys(depends_on)))
    }
  })

  it('what the image is made of is there, and not kept out by .dockerignore', () => {
    const allowed = read('.dockerignore').split('\n')
    const copied = [...read('deploy/Dockerfile').matchAll(/^COPY --from=build (.+) \S+$/gm)].flatMap(([, paths = '']) => paths.split(' '))
    expect(copied.length).toBeGreaterThan(5)
    for (const path of copied.map((path) => path.replace('/app/', '')).filter((path) => path !== 'dist')) {
      expect(existsSync(join(root, path)), path).toBe(true)
      expect(allowed).toContain(`!${path}`)
    }
  })

  describe('the chart', () => {
    const validate = new Ajv({ allowUnionTypes: true }).compile(JSON.parse(read(`${chart}/values.schema.json`)))

    it.each(['values.yaml', 'values-slinky.yaml', 'ci/all-values.yaml'])('%s fits the schema', (name) => {
      expect(validate(readYaml(`${chart}/${name}`)), JSON.stringify(validate.errors)).toBe(true)
    })

    it.each([
      { coordinator: { replcas: 2 } },
      { coordinator: { engine: 'kubernetes' } },
      { api: { settings: { DATABASE_URL: 'mysql://x' } } },
      { data: { mountPath: 'data' } },
    ])('%j is refused', (values) => {
      expect(validate(values)).toBe(false)
    })

    it('every value that a template reads has a default', () => {
      const values = readYaml(`${chart}/values.yaml`)
      const used = files
        .filter((path) => path.startsWith(`${chart}/templates/`))
        .flatMap((path) => [...read(path).matchAll(/\.Values\.([\w.]+)/g)])
      expect(used.length).toBeGreaterThan(50)
      for (const [, path = ''] of used) {
        const value = path.split('.').reduce<unknown>((at, key) => (at as Record<string, unknown> | undefined)?.[key], values)
        expect(value, path).toBeDefined()
      }
    })

    it('has the version of the package', () => {
      expect(readYaml(`${chart}/Chart.yaml`).appVersion).toBe(JSON.parse(read('package.json')).version)
    })
  })
})
