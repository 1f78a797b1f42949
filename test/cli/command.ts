import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { resolve } from 'node:path'

const program = resolve(import.meta.dirname, '../../bin/scaimind.js')

/** What a command left behind. */
export interface Finished {
  code: number | null
  stdout: string
  stderr: string
}

/** The command `scaimind` as a process, with the environment of a fresh shell. */
export function scaimind(
  args: string[],
  { env = {}, cwd = '/', input = '' }: { env?: Record<string, string>; cwd?: string; input?: string } = {},
) {
  const child = spawn(process.execPath, [program, ...args], {
    cwd,
    env: { PATH: process.env.PATH ?? '', HOME: process.env.HOME ?? '', ...env },
  })
  child.stdin.end(input)
  const output = { stdout: '', stderr: '' }
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    output.stdout += text
  })
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    output.stderr += text
  })
  const finished: Promise<Finished> = once(child, 'close').then(([code]) => ({ code: code as number | null, ...output }))
  return { child, finished, firstLine: () => firstLine(child, finished) }
}

async function firstLine(child: ChildProcess, finished: Promise<Finished>): Promise<string> {
  let text = ''
  const line = new Promise<string>((done) => {
    child.stdout?.on('data', (chunk: string) => {
      text += chunk
      const end = text.indexOf('\n')
      if (end >= 0) done(text.slice(0, end))
    })
  })
  const ended = finished.then(({ code, stderr }) => {
    throw new Error(`It ended with ${code}: ${stderr}`)
  })
  ended.catch(() => undefined)
  return await Promise.race([line, ended])
}
