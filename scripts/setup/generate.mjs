import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { hashOf, isFresh, writeStamp } from './stamp.mjs'
import { root, runQuietly, step } from './steps.mjs'

/** Generates what is stale under src/generated: the Prisma clients and the types of the protobuf messages. */
export async function generate() {
  for (const database of ['api', 'coordinator']) await generatePrisma(database)
  await generateProto()
}

async function generatePrisma(database) {
  const schema = `prisma/${database}/schema.prisma`
  const config = `prisma.${database}.config.ts`
  const outputs = [`src/generated/prisma/${database}/client.ts`]
  const hash = hashOf([schema, config], [versionOf('prisma')])
  const stamp = `src/generated/.prisma-${database}`
  if (isFresh(stamp, hash, outputs)) return
  await step(`Generating the Prisma client (${database})`, async () => {
    // Generating needs no schema engine, but would download one: any program in its place keeps it from trying.
    const env = {
      PRISMA_SCHEMA_ENGINE_BINARY: existsSync('/bin/true') ? '/bin/true' : '/usr/bin/true',
      PRISMA_HIDE_UPDATE_MESSAGE: '1',
      CHECKPOINT_DISABLE: '1',
    }
    await runQuietly(process.execPath, [join(root, 'node_modules/prisma/build/index.js'), 'generate', '--config', config], { env })
    writeStamp(stamp, hash)
  })
}

async function generateProto() {
  const folder = 'proto/scaimind/v1'
  const hash = hashOf([folder, 'scripts/setup/generate.mjs'], [versionOf('@grpc/proto-loader')])
  const stamp = 'src/generated/.proto'
  if (isFresh(stamp, hash, ['src/generated/proto/jobs.ts'])) return
  await step('Generating the protobuf types', async () => {
    rmSync(join(root, 'src/generated/proto'), { recursive: true, force: true })
    mkdirSync(join(root, 'src/generated/proto'), { recursive: true })
    const files = readdirSync(join(root, folder)).filter((name) => name.endsWith('.proto'))
    await runQuietly(process.execPath, [
      join(root, 'node_modules/@grpc/proto-loader/build/bin/proto-loader-gen-types.js'),
      // The same as the options that the definitions are loaded with.
      '--keepCase',
      '--longs=String',
      '--enums=String',
      '--defaults',
      '--oneofs',
      '--grpcLib=@grpc/grpc-js',
      '--importFileExtension=.js',
      '--includeComments',
      '--includeDirs=proto',
      '--outDir=src/generated/proto',
      ...files.map((name) => `scaimind/v1/${name}`),
    ])
    writeStamp(stamp, hash)
  })
}

function versionOf(name) {
  return JSON.parse(readFileSync(join(root, 'node_modules', name, 'package.json'), 'utf8')).version
}
