import { once } from 'node:events'
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it, vi } from 'vitest'
import { isAlive } from '../conformance/engines-support.js'
import { exited, jobFolder, linesOf, logs, orderOf, read, start, untilWritten } from './support.js'

const runsOn = `import { writeFileSync } from 'node:fs'
process.on('SIGTERM', () => {})
setInterval(() => {}, 1000)
writeFileSync('running', String(process.pid))`

describe('A launcher that a newer attempt has overtaken', () => {
  it('writes no line any more, nor how it ended, and kills its trainer', async () => {
    const job = jobFolder()
    const folder = orderOf(`${runsOn}\nsetInterval(() => console.log('{"loss": 1}'), 2)`, { job, metrics_from_output: true })
    const over = once(start(folder), 'exit')
    const trainer = Number(await untilWritten(folder, 'running'))
    await untilWritten(folder, 'metrics.jsonl')
    expect(readFileSync(join(job, 'fence/1'), 'utf8')).toBe('token-1')

    const newer = orderOf('', { job, attempt: 2 })
    expect(await exited(newer)).toBe(0)
    expect(await over).toEqual([3, null])
    await vi.waitFor(() => expect(isAlive(trainer)).toBe(false), 30_000)
    expect(existsSync(join(folder, 'exit.json'))).toBe(false)
    // What it knew of newer attempts may have been 200 ms old. A record has its time before that is looked at, and a file its last change after it is to be seen.
    const overtakenAt = statSync(join(job, 'fence/2')).ctimeMs
    const records = [read(folder, 'launcher.json'), ...logs(folder), ...linesOf(folder, 'metrics.jsonl')]
    for (const { time } of records) expect(Date.parse(time)).toBeLessThan(overtakenAt + 250)
  })

  it('ends within a second though its trainer says nothing', async () => {
    const job = jobFolder()
    const folder = orderOf(runsOn, { job })
    const over = once(start(folder), 'exit')
    const trainer = Number(await untilWritten(folder, 'running'))
    writeFileSync(join(job, 'fence/2'), 'token-2')
    expect(await over).toEqual([3, null])
    await vi.waitFor(() => expect(isAlive(trainer)).toBe(false), 30_000)
    expect(existsSync(join(folder, 'exit.json'))).toBe(false)
    expect(readFileSync(join(folder, 'logs.0.jsonl'), 'utf8')).toBe('')
  })

  it.each([
    ['a newer attempt has begun', '2', 'token-2'],
    ['another launch has its number', '1', 'another token'],
  ])('does not begin where %s', async (_, number, token) => {
    const job = jobFolder()
    const folder = orderOf(`import { writeFileSync } from 'node:fs'; writeFileSync('ran', 'x')`, { job })
    mkdirSync(join(job, 'fence'))
    writeFileSync(join(job, 'fence', number), token)
    expect(await exited(folder)).toBe(3)
    expect(readdirSync(folder)).toEqual(['launch.json'])
  })
})
