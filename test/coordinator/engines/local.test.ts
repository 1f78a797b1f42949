import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { AttemptOrder, Engine } from '../../../src/coordinator/engines/engine.js'
import { localEngine } from '../../../src/coordinator/engines/local/engine.js'
import { attemptOf, isAlive, listen, logLines, type Told, untilWritten } from '../../conformance/engines-support.js'
import { pathWith } from '../../support/gpus.js'

const dist = resolve(import.meta.dirname, '../../../dist')
const runsOn = `import { writeFileSync } from 'node:fs'
process.on('SIGTERM', () => {})
setInterval(() => {}, 1000)
writeFileSync('running', String(process.pid))`

const launcherOf = (order: AttemptOrder) =>
  JSON.parse(readFileSync(join(order.directory, 'launcher.json'), 'utf8')) as { pid: number; trainer: { pid: number } }

describe('The local engine', () => {
  let engine: Engine
  let told: Told
  const over = new AbortController()

  beforeEach(() => {
    engine = localEngine({ cpuSlots: 2 })
    told = listen(engine, over.signal)
  })
  afterEach(async () => {
    await engine.close()
  })

  it('ends an attempt as lost where its launcher was killed, and lets nothing of it run on', async () => {
    const order = attemptOf(`import { spawn } from 'node:child_process'
      spawn('sleep', ['600']).unref()
      ${runsOn.replace("import { writeFileSync } from 'node:fs'", "const { writeFileSync } = await import('node:fs')")}`)
    await engine.submit(order)
    const trainer = Number(await untilWritten(order, 'running'))
    process.kill(launcherOf(order).pid, 'SIGKILL')
    expect(await told.ended(order.jobId)).toMatchObject({ exitCode: null, signal: '', lost: true })
    expect(isAlive(trainer)).toBe(false)
    expect(existsSync(join(order.directory, 'exit.json'))).toBe(false)
  })

  it.runIf(process.platform === 'linux')(
    'lets no worker of a starter run on where the launcher was killed, though each has a session of its own',
    async () => {
      const order = attemptOf(`import { spawn } from 'node:child_process'
      import { writeFileSync } from 'node:fs'
      const worker = spawn('sleep', ['600'], { detached: true, stdio: 'ignore' })
      setInterval(() => {}, 1000)
      writeFileSync('worker', String(worker.pid))`)
      await engine.submit(order)
      const worker = Number(await untilWritten(order, 'worker'))
      process.kill(launcherOf(order).pid, 'SIGKILL')
      expect(await told.ended(order.jobId)).toMatchObject({ lost: true })
      expect(isAlive(worker)).toBe(false)
    },
  )

  it('finds what was lost while nobody looked, and lets nothing of it run on', async () => {
    const order = attemptOf(runsOn)
    const handle = await engine.submit(order)
    const trainer = Number(await untilWritten(order, 'running'))
    await engine.close()
    process.kill(launcherOf(order).pid, 'SIGKILL')
    engine = localEngine({ cpuSlots: 2 })
    told = listen(engine, over.signal)
    await engine.reattach(order, handle)
    expect(await told.ended(order.jobId)).toMatchObject({ lost: true })
    expect(isAlive(trainer)).toBe(false)
  })

  it('starts an attempt once, even where its coordinator was killed before it knew', async () => {
    for (const killAfterMs of [0, 20, 60, 150, 400]) {
      const order = attemptOf(`import { appendFileSync } from 'node:fs'; appendFileSync('starts', 'x')`)
      const script = `import { localEngine } from ${JSON.stringify(join(dist, 'coordinator/engines/local/engine.js'))}
        void localEngine({ cpuSlots: 1 }).submit(${JSON.stringify(order)})
        process.stdout.write('submitted')
        setInterval(() => {}, 1000)`
      const coordinator = spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: ['ignore', 'pipe', 'inherit'] })
      await once(coordinator.stdout, 'data')
      setTimeout(() => coordinator.kill('SIGKILL'), killAfterMs)
      await once(coordinator, 'exit')
      // What recovery does: take it up, and where it never started, ask again.
      if (!(await engine.reattach(order, null))) await engine.submit(order)
      expect(await told.ended(order.jobId)).toMatchObject({ exitCode: 0, lost: false })
      expect(readFileSync(join(order.directory, 'starts'), 'utf8')).toBe('x')
    }
  })

  it('says of an attempt that it never started only when no launcher on its way can start it any more', async () => {
    const order = attemptOf(`import { appendFileSync } from 'node:fs'; appendFileSync('starts', 'x')`)
    writeFileSync(
      join(order.directory, 'launch.json'),
      JSON.stringify({
        job_id: 'x',
        attempt: 1,
        token: order.token,
        command: order.command,
        environment: {},
        stop_grace_seconds: 1,
      }),
    )
    expect(await engine.reattach(order, null)).toBeNull()
    const late = spawn(process.execPath, [join(dist, 'launcher/main.js'), order.directory])
    expect(await once(late, 'exit')).toEqual([3, null])
    expect(existsSync(join(order.directory, 'starts'))).toBe(false)
    expect(existsSync(join(order.directory, 'logs.0.jsonl'))).toBe(false)
  })

  it('does not take up a folder that was launched under another token', async () => {
    const order = attemptOf('')
    await engine.submit(order)
    await told.ended(order.jobId)
    await expect(localEngine({ cpuSlots: 1 }).submit({ ...order, token: 'another' })).rejects.toThrow('belongs to another launch')
  })

  it.runIf(process.platform === 'linux')('does not mistake another process with the same pid for its trainer', async () => {
    const bystander = spawn('sleep', ['600'], { detached: true })
    const order = attemptOf('')
    const handle = {
      token: order.token,
      boot_id: readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim(),
      launcher_pid: process.pid,
      launcher_start_time: '1',
      trainer_pid: bystander.pid ?? 0,
      trainer_start_time: '1',
    }
    await engine.reattach(order, handle)
    expect(await told.ended(order.jobId)).toMatchObject({ lost: true })
    await engine.signal(order, handle, 'kill')
    expect(isAlive(bystander.pid ?? 0)).toBe(true)
    bystander.kill()
  })

  it("runs a framework's program under its starter, where the trainer's PATH has it", async () => {
    const folder = mkdtempSync(join(tmpdir(), 'scaimind-starter-'))
    writeFileSync(join(folder, 'torchrun'), '#!/bin/sh\necho "$@"; echo "meet at $MASTER_ADDR:$MASTER_PORT"', { mode: 0o755 })
    const order = attemptOf('', { framework: 'HF_TRAINER', environment: { PATH: `${folder}:/usr/bin:/bin` } })
    order.placement = [{ nodeId: 'x', gpuIndexes: [0, 1], cpus: 1, memoryBytes: 0 }]
    await engine.submit(order)
    expect(await told.ended(order.jobId)).toMatchObject({ exitCode: 0 })
    const [words = '', meeting = ''] = logLines(order).map(({ text }) => text)
    expect(words).toMatch(/^--nnodes=1 --nproc-per-node=2 --node-rank=0 --master-addr=127\.0\.0\.1 --master-port=\d+ --no-python \//)
    expect(words).toContain(`--master-port=${meeting.split(':')[1]} `)
    expect(words.endsWith(order.command.join(' '))).toBe(true)
  })

  it("keeps the job's environment from other users", async () => {
    const order = attemptOf('', { environment: { PATH: '/usr/bin', TOKEN: 'secret' } })
    await engine.submit(order)
    await told.ended(order.jobId)
    expect(statSync(join(order.directory, 'launch.json')).mode & 0o777).toBe(0o600)
  })

  it('says why a launcher could not be started, and starts it when asked again', async () => {
    const order = attemptOf('')
    const broken = localEngine({ cpuSlots: 1, launcherPath: '/no/such/launcher.js' })
    await expect(broken.submit(order)).rejects.toThrow('ended before it began')
    await expect(localEngine({ cpuSlots: 1, nodeBinary: '/no/such/node' }).submit(order)).rejects.toThrow('ENOENT')
    await engine.submit(order)
    expect(await told.ended(order.jobId)).toMatchObject({ exitCode: 0 })
  })

  it('gives a trainer the GPUs of its place, counted as nvidia-smi counts', async () => {
    const order = attemptOf(`import { writeFileSync } from 'node:fs'
      writeFileSync('gpus', process.env.CUDA_VISIBLE_DEVICES + ' ' + process.env.CUDA_DEVICE_ORDER)`)
    order.placement = [{ nodeId: 'x', gpuIndexes: [1, 3], cpus: 1, memoryBytes: 0 }]
    await engine.submit(order)
    await told.ended(order.jobId)
    expect(await untilWritten(order, 'gpus')).toBe('1,3 PCI_BUS_ID')
  })

  it('counts GPUs where there are any, and CPU slots always', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'scaimind-nvidia-'))
    const program = join(folder, 'nvidia-smi')
    writeFileSync(program, '#!/bin/sh\necho "0, NVIDIA A100-SXM4-80GB, 81920, 1024, 50"\necho "1, NVIDIA H200, 143771, [N/A], [N/A]"\n', {
      mode: 0o755,
    })
    const [node] = await localEngine({ cpuSlots: 3, searchPath: folder }).nodes()
    expect(node).toMatchObject({
      cpus: 3,
      online: true,
      gpus: [
        { index: 0, type: 'A100-SXM4-80GB', memoryBytes: 81920 * 2 ** 20, memoryUsedBytes: 2 ** 30, utilization: 0.5 },
        { index: 1, type: 'H200', memoryUsedBytes: null, utilization: null, powerWatts: null, temperatureCelsius: null },
      ],
    })
    const amd = {
      'Card Series': 'AMD Instinct MI300X',
      'VRAM Total Memory (B)': '206141652992',
      'Temperature (Sensor junction) (C)': '41.0',
    }
    const searchPath = pathWith('rocm-smi', `echo '${JSON.stringify({ card0: amd })}'`)
    expect((await localEngine({ cpuSlots: 3, searchPath }).nodes())[0]?.gpus).toEqual([
      {
        index: 0,
        type: 'MI300X',
        memoryBytes: 206141652992,
        memoryUsedBytes: null,
        utilization: null,
        powerWatts: null,
        temperatureCelsius: 41,
      },
    ])
    expect((await localEngine({ cpuSlots: 3, searchPath: join(folder, 'none') }).nodes())[0]?.gpus).toEqual([])
  })
})
