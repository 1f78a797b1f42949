import { once } from 'node:events'
import { appendFileSync, mkdtempSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { mergeRanks } from '../../src/coordinator/journal/merge.js'
import { isAlive } from '../conformance/engines-support.js'
import { exited, logs, orderOf, read, start, untilWritten } from './support.js'

/** A folder with a `torchrun` that, as the real one, gives its worker a session of its own, passes SIGTERM on, and ends with 1 after it. */
function folderWithTorchrun(): string {
  const folder = mkdtempSync(join(tmpdir(), 'scaimind-torchrun-'))
  const stub = `#!${process.execPath}
    const { spawn } = require('node:child_process')
    const command = process.argv.slice(2).filter((word, index, words) => words.slice(0, index + 1).some((other) => !other.startsWith('--')))
    console.log('torchrun ' + process.argv.slice(2, -command.length).join(' '))
    const env = { ...process.env, RANK: '5', LOCAL_RANK: '1' }
    const worker = spawn(command[0], command.slice(1), { detached: true, stdio: 'inherit', env })
    let asked = false
    process.on('SIGTERM', () => { asked = true; worker.kill('SIGTERM') })
    worker.on('exit', (code) => process.exit(asked ? 1 : code ?? 1))`
  writeFileSync(join(folder, 'torchrun'), stub, { mode: 0o755 })
  return folder
}

describe('Launchers on several nodes', () => {
  it('run one attempt in one folder, a rank each, and their logs become one', async () => {
    const folder = orderOf(
      `const { RANK, NODE_RANK, LOCAL_RANK, WORLD_SIZE, MASTER_ADDR, MASTER_PORT } = process.env
      console.log([RANK, NODE_RANK, LOCAL_RANK, WORLD_SIZE, MASTER_ADDR, MASTER_PORT].join(' '))
      console.log('{"loss": ' + RANK + '}')
      process.exit(RANK === '1' ? 4 : 0)`,
      { metrics_from_output: true },
    )
    const meeting = { MASTER_ADDR: 'node1', MASTER_PORT: '29501' }
    const run = (rank: number) => exited(folder, ['--rank', String(rank), '--nodes', '2'], meeting)
    expect(await Promise.all([run(0), run(1)])).toEqual([0, 4])
    expect(readdirSync(folder).sort()).toEqual([
      'alive.0',
      'alive.1',
      'exit.1.json',
      'exit.json',
      'launch.json',
      'launcher.1.json',
      'launcher.json',
      'logs.0.jsonl',
      'logs.1.jsonl',
      'metrics.jsonl',
    ])
    expect([read(folder, 'exit.json').code, read(folder, 'exit.1.json').code]).toEqual([0, 4])
    expect(read(folder, 'metrics.jsonl')).toMatchObject({ step: 1, values: { loss: 0 } })

    await mergeRanks({ directory: folder, ranks: 2, closed: () => true, signal: AbortSignal.timeout(10_000) })
    const merged = logs(folder, 'merged').map(({ rank, text }) => `${rank}: ${text}`)
    expect(merged.sort()).toEqual(['0: 0 0 0 2 node1 29501', '0: {"loss": 0}', '1: 1 1 0 2 node1 29501', '1: {"loss": 1}'])
    expect(await run(1), 'a rank that ran already').toBe(3)
  })

  it('hand on what they are told to inherit, over what was ordered, and nothing else', async () => {
    const folder = orderOf(`console.log(JSON.stringify(process.env))`, {
      environment: { PATH: '/usr/bin:/bin', CUDA_VISIBLE_DEVICES: '', OWN: 'x' },
    })
    const environment = { CUDA_VISIBLE_DEVICES: '2,3', SLURM_JOB_ID: '7', SLURM_NODEID: '0', SLURMX: 'no', SECRET: 'no' }
    await exited(folder, ['--inherit', 'CUDA_VISIBLE_DEVICES', '--inherit', 'SLURM_*'], environment)
    const seen = JSON.parse(logs(folder)[0]?.text ?? '{}')
    expect(seen).toMatchObject({ CUDA_VISIBLE_DEVICES: '2,3', SLURM_JOB_ID: '7', SLURM_NODEID: '0', OWN: 'x', PATH: '/usr/bin:/bin' })
    expect(seen).not.toHaveProperty('SLURMX')
    expect(seen).not.toHaveProperty('SECRET')
  })

  it('find beside an ordered interpreter what the modules that they inherit do not have', async () => {
    const folder = orderOf('console.log(process.env.PATH)', { environment: { PATH: '/venv/bin:/usr/bin:/bin' } })
    await exited(folder, ['--inherit', 'PATH'], { PATH: '/modules/bin:/usr/bin' })
    expect(logs(folder)[0]?.text).toBe('/modules/bin:/usr/bin:/venv/bin:/usr/bin:/bin')
  })

  it.each([
    [['--rank', '2', '--nodes', '2'], '--rank must be 0 to 1, not 2'],
    [['--nodes', 'many'], '--nodes must be a number from 1, not many'],
    [['--unknown'], "Unknown option '--unknown'"],
    [['other'], "give the attempt's folder, and no other"],
  ])('refuse %j', async (words, message) => {
    const launcher = start(orderOf(''), words)
    const [said] = await once(launcher.stderr, 'data')
    expect(String(said)).toContain(message)
  })
})

describe('A launcher with a starter', () => {
  const starter = ['--with', 'torchrun', '--nnodes=2', '--node-rank=0']
  const ready = `import { appendFileSync } from 'node:fs'
    process.on('SIGUSR1', () => appendFileSync('saved', 'x'))
    process.on('SIGTERM', () => process.exit(85))
    setInterval(() => {}, 1000)
    appendFileSync('events.jsonl', JSON.stringify({ type: 'ready', signals: ['USR1', 'TERM'], pid: process.pid }) + '\\n')
    appendFileSync('worker', process.pid + ' ' + process.env.RANK)`
  const orderReady = () => orderOf(ready, { environment: { PATH: `${folderWithTorchrun()}:/usr/bin:/bin` } })

  it("runs the command behind it, found in the trainer's PATH, and asks its workers for checkpoints", async () => {
    const folder = orderReady()
    const launcher = start(folder, starter)
    const over = once(launcher, 'exit')
    expect(await untilWritten(folder, 'worker')).toMatch(/ 5$/)
    launcher.kill('SIGUSR1')
    await untilWritten(folder, 'saved')
    launcher.kill('SIGTERM')
    expect(await over).toEqual([85, null])
    expect(logs(folder).map(({ text }) => text)).toEqual(['torchrun --nnodes=2 --node-rank=0'])
  })

  it.runIf(process.platform === 'linux')('lets no worker outlive it, though each has a session of its own', async () => {
    const folder = orderReady()
    const over = once(start(folder, starter), 'exit')
    const worker = Number.parseInt(await untilWritten(folder, 'worker'), 10)
    process.kill(read(folder, 'launcher.json').trainer.pid, 'SIGKILL')
    expect(await over).toEqual([137, null])
    expect(isAlive(worker)).toBe(false)
  })

  it('that was asked to stop ends with its own code where the trainer says that it failed', async () => {
    const folder = orderReady()
    const launcher = start(folder, starter)
    const over = once(launcher, 'exit')
    await untilWritten(folder, 'worker')
    appendFileSync(join(folder, 'events.jsonl'), `${JSON.stringify({ type: 'failure', class: 'CODE', message: 'No.' })}\n`)
    launcher.kill('SIGTERM')
    expect(await over).toEqual([1, null])
  })

  it('gives the workers as long to stop as they are given themselves', async () => {
    const environment = { PATH: `${folderWithTorchrun()}:/usr/bin:/bin` }
    const folder = orderOf('console.log(process.env.TORCH_ELASTIC_SHUTDOWN_TIMEOUT)', { environment, stop_grace_seconds: 120 })
    expect(await exited(folder, starter)).toBe(0)
    expect(logs(folder).map(({ text }) => text)).toContain('120')
  })

  it('tells where it is not there, as of a program that failed', async () => {
    const folder = orderOf('')
    expect(await exited(folder, ['--with', 'no-such-starter'])).toBe(127)
    expect(readFileSync(join(folder, 'logs.0.jsonl'), 'utf8')).toContain('no-such-starter')
  })
})
