import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { Engine } from '../../src/coordinator/engines/engine.js'
import { localEngine } from '../../src/coordinator/engines/local/engine.js'
import { attemptOf, isAlive, listen, logLines, type Told, untilWritten } from './engines-support.js'

/** Every engine, and how a life of it begins. */
const engines: { name: string; begin: () => Engine }[] = [{ name: 'local', begin: () => localEngine({ cpuSlots: 2 }) }]

/** Says that it is there, then runs on until it is stopped. */
const runsOn = `import { writeFileSync } from 'node:fs'
setInterval(() => {}, 1000)
writeFileSync('running', String(process.pid))`

/** Announces its signals, counts checkpoints, and on SIGTERM exits with 85. */
const obeys = `import { appendFileSync } from 'node:fs'
process.on('SIGUSR1', () => appendFileSync('checkpoints', 'x'))
process.on('SIGTERM', () => process.exit(85))
setInterval(() => {}, 1000)
appendFileSync('events.jsonl', JSON.stringify({ type: 'ready', signals: ['USR1', 'TERM'], pid: process.pid }) + '\\n')
appendFileSync('running', String(process.pid))`

describe.each(engines)('The $name engine', ({ begin }) => {
  let engine: Engine
  let told: Told
  let stopListening: AbortController

  function nextLife(): void {
    engine = begin()
    stopListening = new AbortController()
    told = listen(engine, stopListening.signal)
  }
  async function endOfLife(): Promise<void> {
    stopListening.abort()
    await engine.close()
  }
  beforeEach(nextLife)
  afterEach(endOfLife)

  it('starts an attempt once, however often it is submitted', async () => {
    const order = attemptOf(`import { appendFileSync } from 'node:fs'; appendFileSync('starts', 'x')`)
    const handles = await Promise.all([engine.submit(order), engine.submit(order), engine.submit(order)])
    expect(handles[1]).toEqual(handles[0])
    expect(await told.ended(order.jobId)).toMatchObject({ exitCode: 0, signal: '', lost: false, attempt: { number: 1 } })
    expect(await engine.submit(order)).toEqual(handles[0])
    expect(readFileSync(join(order.directory, 'starts'), 'utf8')).toBe('x')
    expect(told.events.map(({ type }) => type)).toEqual(['started', 'ended'])
  })

  it('gives handles that survive being stored as JSON', async () => {
    const order = attemptOf('')
    const handle = await engine.submit(order)
    expect(JSON.parse(JSON.stringify(handle))).toEqual(handle)
    await told.ended(order.jobId)
  })

  it('tells the exit code of a trainer that fails', async () => {
    const order = attemptOf('process.exit(3)')
    await engine.submit(order)
    expect(await told.ended(order.jobId)).toMatchObject({ exitCode: 3, signal: '' })
  })

  it('tells of a program that does not exist as of one that failed', async () => {
    const order = attemptOf('', { command: ['/no/such/program'] })
    await engine.submit(order)
    expect(await told.ended(order.jobId)).toMatchObject({ exitCode: 127, lost: false })
    expect(logLines(order).at(-1)?.text).toContain('/no/such/program')
  })

  it('leaves attempts running when it is closed, and takes them up in its next life', async () => {
    const order = attemptOf(obeys)
    const handle = await engine.submit(order)
    await untilWritten(order, 'running')
    await endOfLife()
    nextLife()
    expect(await engine.reattach(order, handle)).toEqual(handle)
    expect(await engine.reattach(order, handle)).toEqual(handle)
    await engine.signal(order, handle, 'stop')
    expect(await told.ended(order.jobId)).toMatchObject({ exitCode: 85 })
    expect(told.events.map(({ type }) => type)).toEqual(['started', 'ended'])
  })

  it('finds an attempt by its name where the handle was never stored', async () => {
    const order = attemptOf(obeys)
    const handle = await engine.submit(order)
    await endOfLife()
    nextLife()
    expect(await engine.reattach(order, null)).toEqual(handle)
    await engine.signal(order, handle, 'kill')
    await told.ended(order.jobId)
  })

  it('tells the end of an attempt that ended while nobody looked', async () => {
    const order = attemptOf('process.exit(4)')
    const handle = await engine.submit(order)
    await endOfLife()
    await untilWritten(order, 'exit.json')
    nextLife()
    await engine.reattach(order, handle)
    expect(await told.ended(order.jobId)).toMatchObject({ exitCode: 4, lost: false })
  })

  it('knows of an attempt that was never submitted that it never started', async () => {
    expect(await engine.reattach(attemptOf(''), null)).toBeNull()
  })

  it('asks a trainer to stop, once, and tells the code it answers with', async () => {
    const order = attemptOf(`import { writeFileSync } from 'node:fs'
      let asked = 0
      process.on('SIGTERM', () => { if (++asked > 1) process.exit(1); setTimeout(() => process.exit(85), 200) })
      setInterval(() => {}, 1000)
      writeFileSync('running', 'x')`)
    const handle = await engine.submit(order)
    await untilWritten(order, 'running')
    await engine.signal(order, handle, 'stop')
    await engine.signal(order, handle, 'stop')
    expect(await told.ended(order.jobId)).toMatchObject({ exitCode: 85, signal: '' })
  })

  it('kills a trainer that does not stop within its grace', async () => {
    const order = attemptOf(`process.on('SIGTERM', () => console.log('no'));${runsOn.replace('import', '\nimport')}`, {
      stopGraceSeconds: 0.3,
    })
    const handle = await engine.submit(order)
    await untilWritten(order, 'running')
    await engine.signal(order, handle, 'stop')
    expect(await told.ended(order.jobId)).toMatchObject({ exitCode: null, signal: 'SIGKILL', lost: false })
    expect(logLines(order).map(({ text }) => text)).toEqual(['no'])
  })

  it('kills at once', async () => {
    const order = attemptOf(`process.on('SIGTERM', () => {});${runsOn.replace('import', '\nimport')}`)
    const handle = await engine.submit(order)
    const pid = Number(await untilWritten(order, 'running'))
    await engine.signal(order, handle, 'kill')
    await engine.signal(order, handle, 'kill')
    expect(await told.ended(order.jobId)).toMatchObject({ exitCode: null, signal: 'SIGKILL', lost: false })
    expect(isAlive(pid)).toBe(false)
    await engine.signal(order, handle, 'kill')
  })

  it('asks for a checkpoint only the processes that announced it', async () => {
    const deaf = attemptOf(runsOn)
    const ready = attemptOf(obeys)
    const handles = await Promise.all([engine.submit(deaf), engine.submit(ready)])
    await Promise.all([untilWritten(deaf, 'running'), untilWritten(ready, 'running')])
    await engine.signal(deaf, handles[0], 'checkpoint')
    await engine.signal(ready, handles[1], 'checkpoint')
    await untilWritten(ready, 'checkpoints')
    await engine.signal(ready, handles[1], 'stop')
    await engine.signal(deaf, handles[0], 'stop')
    expect(await told.ended(deaf.jobId)).toMatchObject({ signal: 'SIGTERM' })
    expect(await told.ended(ready.jobId)).toMatchObject({ exitCode: 85 })
  })

  it('ends an attempt only when what the trainer started is dead too', async () => {
    const order = attemptOf(`import { spawn } from 'node:child_process'
      import { writeFileSync } from 'node:fs'
      const child = spawn('sleep', ['600'], { stdio: 'inherit' })
      writeFileSync('child', String(child.pid))
      process.exit(0)`)
    await engine.submit(order)
    await told.ended(order.jobId)
    expect(isAlive(Number(await untilWritten(order, 'child')))).toBe(false)
  })

  it('gives a trainer the environment that was ordered, and nothing of its own', async () => {
    process.env.SCAIMIND_TEST_SECRET = 'secret'
    const order = attemptOf(`import { writeFileSync } from 'node:fs'; writeFileSync('environment', JSON.stringify(process.env))`, {
      environment: { PATH: '/usr/bin:/bin', GREETING: 'hello "world"\nand $HOME' },
    })
    await engine.submit(order)
    await told.ended(order.jobId)
    const {
      PATH,
      GREETING,
      SCAIMIND_JOB_DIR,
      RANK,
      NODE_RANK,
      WORLD_SIZE,
      LOCAL_RANK,
      MASTER_ADDR,
      MASTER_PORT,
      OMP_NUM_THREADS,
      ...rest
    } = JSON.parse(await untilWritten(order, 'environment'))
    expect({ PATH, GREETING }).toEqual(order.environment)
    expect({ SCAIMIND_JOB_DIR, RANK, NODE_RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR }).toEqual({
      SCAIMIND_JOB_DIR: order.directory,
      RANK: '0',
      NODE_RANK: '0',
      WORLD_SIZE: '1',
      LOCAL_RANK: '0',
      MASTER_ADDR: '127.0.0.1',
    })
    expect(MASTER_PORT).toMatch(/^\d+$/)
    expect(OMP_NUM_THREADS).toBe('1')
    // `_` is what bash, where it is the system's shell, tells every program.
    expect({ ...rest, _: '' }).toEqual({ CUDA_VISIBLE_DEVICES: '', _: '' })
  })

  it('captures output whole, and in order', async () => {
    const order = attemptOf(`
      for (let i = 0; i < 20_000; i++) process.stdout.write(i + ' ' + 'é'.repeat(i % 50) + '\\n')
      process.stdout.write('without an end')`)
    await engine.submit(order)
    await told.ended(order.jobId)
    const lines = logLines(order)
    expect(lines.map(({ seq }) => seq)).toEqual(lines.map((_, index) => index))
    expect(lines.map(({ text }) => text)).toEqual([
      ...Array.from({ length: 20_000 }, (_, i) => `${i} ${'é'.repeat(i % 50)}`),
      'without an end',
    ])
  })

  it('has this machine among its nodes', async () => {
    const nodes = await engine.nodes()
    expect(nodes.length).toBeGreaterThan(0)
    for (const node of nodes) expect(node).toMatchObject({ nodeId: expect.any(String), cpus: expect.any(Number) })
  })
})
