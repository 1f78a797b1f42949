import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'
import { describe, expect, it } from 'vitest'

const root = resolve(import.meta.dirname, '..')

/**
 * The walls: each room, and the rooms that its files may import besides their own. A file belongs to the first room that
 * matches. The picture in the README is this table.
 */
const rooms: { room: string; match: RegExp; may: string[] }[] = [
  { room: 'gpu readings', match: /^src\/launcher\/gpu-readings\.ts$/, may: [] },
  { room: 'launcher', match: /^src\/launcher\//, may: ['gpu readings'] },
  { room: 'trainer', match: /^src\/trainer\//, may: [] },
  { room: 'contract', match: /^src\/contract\//, may: ['generated'] },
  { room: 'database', match: /^src\/database\//, may: [] },
  { room: 'tracing', match: /^src\/tracing\.ts$/, may: ['contract'] },
  { room: 'config', match: /^src\/config\.ts$/, may: ['contract'] },
  { room: 'hf environment', match: /^src\/hf-environment\.ts$/, may: [] },
  {
    room: 'cli',
    match: /^src\/cli\//,
    may: ['config', 'contract', 'database', 'hf environment', 'api server', 'api auth', 'api cache', 'coordinator server'],
  },

  {
    room: 'api server',
    match: /^src\/api\/[^/]+\.ts$/,
    may: [
      'config',
      'contract',
      'tracing',
      'generated',
      'graphql',
      'rest',
      'delivery',
      'operations',
      'api auth',
      'api cache',
      'live',
      'coordinator client',
    ],
  },
  { room: 'graphql', match: /^src\/api\/graphql\//, may: ['contract', 'tracing', 'generated', 'delivery', 'operations', 'api auth'] },
  { room: 'rest', match: /^src\/api\/rest\//, may: ['contract', 'generated', 'delivery', 'operations', 'api auth'] },
  { room: 'delivery', match: /^src\/api\/delivery\//, may: ['live'] },
  {
    room: 'operations',
    match: /^src\/api\/operations\//,
    may: ['contract', 'generated', 'api auth', 'api cache', 'live', 'coordinator client'],
  },
  { room: 'live', match: /^src\/api\/live\//, may: ['contract', 'generated', 'api cache', 'coordinator client'] },
  { room: 'api auth', match: /^src\/api\/auth\//, may: ['contract', 'generated', 'api cache'] },
  { room: 'api cache', match: /^src\/api\/cache\//, may: ['contract', 'generated'] },
  { room: 'coordinator client', match: /^src\/api\/coordinator-client\//, may: ['contract', 'tracing', 'generated'] },

  {
    room: 'coordinator server',
    match: /^src\/coordinator\/[^/]+\.ts$/,
    may: [
      'config',
      'contract',
      'tracing',
      'generated',
      'services',
      'jobs',
      'records database',
      'lease',
      'engine interface',
      'local engine',
      'slurm engine',
      'journal',
      'data',
    ],
  },
  {
    room: 'services',
    match: /^src\/coordinator\/services\//,
    may: ['contract', 'tracing', 'generated', 'jobs', 'records database', 'engine interface', 'journal', 'data'],
  },
  { room: 'lease', match: /^src\/coordinator\/lease\//, may: ['generated', 'database', 'jobs'] },
  { room: 'records database', match: /^src\/coordinator\/jobs\/records\/database\.ts$/, may: ['contract', 'generated'] },
  {
    room: 'jobs',
    match: /^src\/coordinator\/jobs\//,
    may: ['contract', 'generated', 'records database', 'engine interface', 'journal', 'data', 'hf environment'],
  },
  { room: 'engine interface', match: /^src\/coordinator\/engines\/engine\.ts$/, may: ['contract'] },
  { room: 'engine parts', match: /^src\/coordinator\/engines\/[^/]+\.ts$/, may: ['contract', 'engine interface'] },
  {
    room: 'local engine',
    match: /^src\/coordinator\/engines\/local\//,
    may: ['contract', 'engine interface', 'engine parts', 'journal', 'gpu readings'],
  },
  { room: 'slurm engine', match: /^src\/coordinator\/engines\/slurm\//, may: ['contract', 'engine interface', 'engine parts'] },
  { room: 'journal', match: /^src\/coordinator\/journal\//, may: ['contract', 'generated'] },
  { room: 'data', match: /^src\/coordinator\/data\//, may: ['contract', 'generated', 'records database', 'hf environment'] },
  { room: 'generated', match: /^src\/generated\//, may: ['generated'] },
]

/** The floors of a large room, from the ground up: files of a floor import from it and from those below. '.' is what lies in the room itself. */
const floors: Record<string, string[]> = {
  'src/api/graphql': ['.', 'nouns', 'door'],
  'src/coordinator/jobs': ['records', 'fields', 'content', 'models', 'attempts', 'placement', 'retention', 'requests', '.'],
}

/** Packages that only some rooms may know. */
const packages: { name: RegExp; rooms: string[]; why: string }[] = [
  { name: /^@jax-js\//, rooms: ['trainer'], why: 'only the trainer computes' },
  {
    name: /^(graphql|graphql-yoga|@pothos\/|@graphql-yoga\/)/,
    rooms: ['graphql', 'api server', 'cli'],
    why: 'only the GraphQL room speaks GraphQL',
  },
  { name: /^commander$/, rooms: ['cli'], why: 'only the command line parses arguments' },
  { name: /^@prisma\//, rooms: ['api cache', 'records database'], why: 'only the caches and the job store open databases' },
  { name: /^@opentelemetry\//, rooms: ['tracing'], why: 'one file makes all spans' },
]

const sources = readdirSync(join(root, 'src'), { recursive: true, encoding: 'utf8' })
  .map((name) => `src/${name}`)
  .filter((name) => name.endsWith('.ts') && !name.startsWith('src/generated/'))

const importsOf = (file: string): string[] => {
  const text = readFileSync(join(root, file), 'utf8')
  return [...text.matchAll(/(?:from|import)\s*\(?\s*'([^']+)'/g)].map((match) => match[1] ?? '')
}
const roomOf = (file: string) => rooms.find(({ match }) => match.test(file))

describe('The walls of the house', () => {
  it('every source file is in a room', () => {
    expect(sources.filter((file) => !roomOf(file))).toEqual([])
  })

  it('imports cross only the walls that the table opens', () => {
    const crossings = sources.flatMap((file) => {
      const from = roomOf(file)
      return importsOf(file)
        .filter((name) => name.startsWith('.'))
        .map((name) => relative(root, resolve(root, dirname(file), name)).replace(/\.js$/, '.ts'))
        .flatMap((target) => {
          const to = roomOf(target)
          if (!from || !to || from === to || from.may.includes(to.room)) return []
          return [`${file} imports ${target}: ${from.room} may not see ${to.room}, only ${from.may.join(', ') || 'nothing of ours'}.`]
        })
    })
    expect(crossings).toEqual([])
  })

  it('the records of the coordinator are written only by who holds the lease', () => {
    const own = /^src\/coordinator\/(server|lease\/lease|jobs\/records\/database)\.ts$/
    const writes = /\bPrismaClient\b|\bopenDatabase\b|\.pen\b|\bdatabase\.\$queryRaw(?:<[^`]*>)?\(?`\s*(?:INSERT|UPDATE|DELETE|REPLACE)/gi
    const found = sources
      .filter((file) => file.startsWith('src/coordinator/') && !own.test(file))
      .flatMap((file) =>
        [...readFileSync(join(root, file), 'utf8').matchAll(writes)].map(([text]) => `${file} says ${text}: write in transact.`),
      )
    expect(found).toEqual([])
  })

  it('inside a large room, imports go down', () => {
    const climbs = Object.entries(floors).flatMap(([room, order]) => {
      const floorOf = (file: string) => order.indexOf(dirname(relative(room, file)))
      const inside = sources.filter((file) => file.startsWith(`${room}/`))
      return inside.flatMap((file) =>
        importsOf(file)
          .filter((name) => name.startsWith('.'))
          .map((name) => relative(root, resolve(root, dirname(file), name)))
          .filter((target) => target.startsWith(`${room}/`) && floorOf(target) > floorOf(file))
          // The schema is what its nouns make of it.
          .filter(() => file !== 'src/api/graphql/schema.ts')
          .map((target) => `${file} imports ${target}, which is above it: ${order.join(', ')}.`),
      )
    })
    expect(climbs).toEqual([])
  })

  it('only the rooms that need them import certain packages', () => {
    const crossings = sources.flatMap((file) =>
      importsOf(file).flatMap((name) =>
        packages
          .filter((known) => known.name.test(name) && !known.rooms.includes(roomOf(file)?.room ?? ''))
          .map(({ why }) => `${file} imports ${name}: ${why}.`),
      ),
    )
    expect(crossings).toEqual([])
  })

  it('the environment is read in one place, and only main.ts ends the process', () => {
    const offenders = sources.flatMap((file) => {
      const text = readFileSync(join(root, file), 'utf8')
      const ends = /process\.exit\(/.test(text) && !/^src\/(cli|launcher|trainer)\/main\.ts$/.test(file)
      const reads = /process\.env\b/.test(text) && !/^src\/(cli|launcher|trainer|database)\//.test(file) && !/\/server\.ts$/.test(file)
      return [
        ...(ends ? [`${file} calls process.exit; only a main.ts may.`] : []),
        ...(reads ? [`${file} reads process.env; only config.ts's callers may.`] : []),
      ]
    })
    expect(offenders).toEqual([])
  })
})
