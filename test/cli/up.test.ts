import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { identify, isRunning } from '../../src/database/process-identity.js'
import { scaimind } from './command.js'

interface Address {
  graphql: string
  websocket: string
  rest: string
  grpc: string
  api_key: string
  api_secret: string
  data_dir: string
  pids: { coordinator: number; api: number; database: number }
}

const dataDir = mkdtempSync(join(tmpdir(), 'scaimind-up-'))
const running = new Set<ReturnType<typeof scaimind>>()
afterAll(async () => {
  for (const up of running) {
    up.child.kill('SIGTERM')
    await up.finished
  }
  rmSync(dataDir, { recursive: true, force: true })
})

async function start() {
  const up = scaimind(['up', '--port', '0', '--data', dataDir, '--json'])
  running.add(up)
  void up.finished.then(() => running.delete(up))
  return { up, address: JSON.parse(await up.firstLine()) as Address }
}

async function untilGone(pid: number): Promise<void> {
  const identity = identify(pid)
  while (identity && isRunning(identity)) await new Promise((done) => setTimeout(done, 20))
}

const portOf = (address: Address) => Number(new URL(address.graphql).port)

describe.sequential('scaimind up', () => {
  let { up, address }: Partial<Awaited<ReturnType<typeof start>>> = {}
  const current = () => {
    if (!up || !address) throw new Error('It did not start.')
    return { up, address }
  }

  it('says in one line of JSON where everything is, and keeps its key to itself', async () => {
    ;({ up, address } = await start())
    expect(Object.keys(address)).toEqual(['graphql', 'websocket', 'rest', 'grpc', 'api_key', 'api_secret', 'data_dir', 'pids'])
    expect(address.api_key).toMatch(/^sgk_.{32,}$/)
    const path = join(dataDir, 'credentials.json')
    expect(statSync(path).mode & 0o777).toBe(0o600)
    expect(JSON.parse(readFileSync(path, 'utf8'))).toMatchObject({ api_key: address.api_key, api_secret: address.api_secret })
  })

  it('a second one on the same data folder is refused with one line', async () => {
    const { code, stderr } = await scaimind(['up', '--port', '0', '--data', dataDir]).finished
    expect(code).toBe(1)
    expect(stderr).toMatch(/^ScaiMind runs on .* already \(pid \d+\): stop it, or choose another folder with --data\.\n$/)
  })

  it('a program that is killed is started again in the same place', async () => {
    const { address } = current()
    process.kill(address.pids.coordinator, 'SIGKILL')
    process.kill(address.pids.api, 'SIGKILL')
    await untilGone(address.pids.api)
    for (;;) {
      const signal = AbortSignal.timeout(2000)
      const health = await fetch(address.graphql.replace('graphql', 'health'), { signal }).then(
        (response) => response.json() as Promise<{ coordinator: string }>,
        () => undefined,
      )
      if (health?.coordinator === 'ok') break
      await new Promise((done) => setTimeout(done, 50))
    }
  })

  it('so is the private database, with everything in it', async () => {
    const { address } = current()
    process.kill(address.pids.database, 'SIGKILL')
    await untilGone(address.pids.database)
    for (;;) {
      const { code, stdout } = await scaimind(['keys', 'list'], { env: { SCAIMIND_DATA_DIR: dataDir } }).finished
      if (code === 0) {
        expect(stdout).toContain(address.api_key.slice(0, 10))
        break
      }
    }
  })

  it('after kill -9 of all of it, the next start has the same key and ends in order', async () => {
    const before = current()
    before.up.child.kill('SIGKILL')
    await before.up.finished
    const again = await start()
    expect(again.address).toMatchObject({ api_key: before.address.api_key, api_secret: before.address.api_secret })
    again.up.child.kill('SIGTERM')
    expect((await again.up.finished).code).toBe(0)
    for (const pid of Object.values(again.address.pids)) expect(identify(pid)).toBeUndefined()
  })

  it('a port that is taken is refused with one line that names the option', async () => {
    const server = createServer().listen(0, '127.0.0.1')
    await once(server, 'listening')
    const { port } = server.address() as { port: number }
    const { code, stderr } = await scaimind(['up', '--port', String(port), '--data', dataDir]).finished
    server.close()
    expect(code).toBe(1)
    expect(stderr).toBe(`Port ${port} is taken: choose another with --port (0 for any free one).\n`)
  })

  it('a database that cannot be reached is refused with one line that names the setting', async () => {
    const port = portOf(current().address)
    const env = { DATABASE_URL: `mysql://nobody:nothing@127.0.0.1:${port}` }
    const { code, stderr } = await scaimind(['up', '--port', '0', '--data', dataDir], { env }).finished
    expect(code).toBe(1)
    expect(stderr).toMatch(/^DATABASE_URL: no database answers at 127\.0\.0\.1:\d+ \(connection refused\)\.\n$/)
  })
})
