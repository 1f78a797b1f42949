import { once } from 'node:events'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { exited, logs, orderOf, read, start } from './support.js'

describe('A launcher', () => {
  it('has its folder to itself: of several that start at once, one runs the trainer', async () => {
    const folder = orderOf(`import { appendFileSync } from 'node:fs'; appendFileSync('starts', 'x')`)
    const codes = await Promise.all([exited(folder), exited(folder), exited(folder)])
    expect(codes.sort()).toEqual([0, 3, 3])
    expect(await exited(folder)).toBe(3)
    expect(readFileSync(join(folder, 'starts'), 'utf8')).toBe('x')
    expect(readdirSync(folder).sort()).toEqual(['alive.0', 'exit.json', 'launch.json', 'launcher.json', 'logs.0.jsonl', 'starts'])
  })

  it('writes what the trainer prints, with stream and level, and metrics where it is asked for them', async () => {
    const folder = orderOf(`console.log('{"loss": 2}'); console.error('warning: hot'); process.stdout.write('last')`, {
      metrics_from_output: true,
    })
    await exited(folder)
    const said = logs(folder).map(({ stream, level, text, rank }) => `${rank} ${stream} ${level} ${text}`)
    expect(said.sort()).toEqual(['0 stderr WARN warning: hot', '0 stdout INFO last', '0 stdout INFO {"loss": 2}'])
    expect(read(folder, 'metrics.jsonl')).toMatchObject({ step: 1, values: { loss: 2 } })
    expect(read(folder, 'exit.json')).toMatchObject({ code: 0, signal: null })
  })

  it('gives the trainer pipes that a shell script can open by name', async () => {
    const folder = orderOf('', {
      command: ['/bin/sh', '-c', 'echo out > /dev/stdout; echo err > /dev/stderr; echo more | tee /dev/stderr'],
    })
    await exited(folder)
    const said = logs(folder).map(({ stream, text }) => `${stream} ${text}`)
    expect(said.sort()).toEqual(['stderr err', 'stderr more', 'stdout more', 'stdout out'])
  })

  it('does not wait for ever for a process that left the group and holds the output', async () => {
    const folder = orderOf(`import { spawn } from 'node:child_process'
      import { writeFileSync } from 'node:fs'
      const child = spawn('sleep', ['600'], { stdio: 'inherit', detached: true })
      writeFileSync('escaped', String(child.pid))
      console.log('said')
      process.exit(7)`)
    expect(await exited(folder)).toBe(7)
    expect(read(folder, 'exit.json')).toMatchObject({ code: 7 })
    expect(logs(folder).map(({ text }) => text)).toEqual(['said'])
    process.kill(Number(readFileSync(join(folder, 'escaped'), 'utf8')))
  })

  it('tells of a trainer that cannot be started, in its log and as exit 127', async () => {
    const folder = orderOf('', { environment: { HUGE: 'x'.repeat(300_000) } })
    await exited(folder)
    expect(read(folder, 'exit.json')).toMatchObject({ code: 127 })
    expect(logs(folder)).toMatchObject([{ level: 'ERROR', text: expect.stringContaining('cannot be started') }])
  })

  it('ends as its trainer did: with its code, or 128 and the number of its signal', async () => {
    expect(await exited(orderOf('process.exit(85)'))).toBe(85)
    const folder = orderOf(`process.kill(process.pid, 'SIGTERM'); setInterval(() => {}, 1000)`)
    expect(await exited(folder)).toBe(143)
    expect(read(folder, 'exit.json')).toMatchObject({ code: null, signal: 'SIGTERM' })
  })

  it('refuses an order that it cannot read, and writes nothing', async () => {
    const folder = orderOf('', { command: [] })
    const process = start(folder)
    const [said] = await once(process.stderr, 'data')
    expect(String(said)).toContain('launch.json: command must name a program')
    expect(existsSync(join(folder, 'launcher.json'))).toBe(false)
  })
})
