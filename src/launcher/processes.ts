import { execFileSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'

const linux = process.platform === 'linux'

/** When a process started, in the words of the operating system; null where none with that pid is alive. Only ever compared for equality. */
export function startTimeOf(pid: number): string | null {
  if (!linux) return ps('lstart=', pid)
  const stat = readStat(pid)
  return stat && isAlive(stat) ? stat.startTime : null
}

/** The process group of a pid; null where there is none. */
export function groupOf(pid: number): number | null {
  if (!linux) return Number(ps('pgid=', pid)) || null
  return readStat(pid)?.group ?? null
}

/** Names the time since the machine was switched on: pids and start times of another boot mean nothing. */
export function bootId(): string {
  try {
    if (linux) return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()
    return execFileSync('sysctl', ['-n', 'kern.bootsessionuuid'], { encoding: 'utf8' }).trim()
  } catch {
    return ''
  }
}

/** Signals a whole process group; nothing where it has none alive. */
export function signalGroup(group: number, signal: NodeJS.Signals): void {
  try {
    process.kill(-group, signal)
  } catch {
    // It ended by itself.
  }
}

/** Whether any process of the group is alive. Zombies are dead: in a container whose first process reaps nobody they stay for good. */
export function isGroupAlive(group: number): boolean {
  try {
    process.kill(-group, 0)
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
  if (!linux) return psGroups().some((row) => row.group === group && !row.state.startsWith('Z'))
  return readdirSync('/proc').some((name) => {
    const stat = /^\d+$/.test(name) ? readStat(Number(name)) : null
    return stat !== null && stat.group === group && isAlive(stat)
  })
}

/** Whether a process was started with all of these `NAME=value` in its environment. Elsewhere than on Linux nobody can tell. */
export function carries(pid: number, marks: string[]): boolean {
  try {
    if (!linux) return false
    const variables = new Set(readFileSync(`/proc/${pid}/environ`, 'utf8').split('\0'))
    return marks.every((mark) => variables.has(mark))
  } catch {
    return false
  }
}

/** The processes alive that carry all of `marks`, but for this one. */
export function carriersOf(marks: string[]): number[] {
  if (!linux) return []
  return readdirSync('/proc').flatMap((name) => {
    const pid = /^\d+$/.test(name) ? Number(name) : process.pid
    // A zombie has no environment.
    return pid !== process.pid && carries(pid, marks) ? [pid] : []
  })
}

interface Stat {
  state: string
  group: number
  startTime: string
}

const isAlive = ({ state }: Stat) => state !== 'Z' && state !== 'X'

function readStat(pid: number): Stat | null {
  try {
    // The name, in brackets, may itself hold spaces and brackets; what follows the last one is numbers.
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    const [state = '', , group = '', ...rest] = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    return { state, group: Number(group), startTime: rest[16] ?? '' }
  } catch {
    return null
  }
}

function ps(column: string, pid: number): string | null {
  try {
    const stdio: ['ignore', 'pipe', 'ignore'] = ['ignore', 'pipe', 'ignore']
    return execFileSync('ps', ['-o', column, '-p', String(pid)], { encoding: 'utf8', stdio }).trim() || null
  } catch {
    return null
  }
}

function psGroups(): { group: number; state: string }[] {
  const rows = execFileSync('ps', ['-axo', 'pgid=,stat='], { encoding: 'utf8' }).trim().split('\n')
  return rows.map((row) => {
    const [group = '', state = ''] = row.trim().split(/\s+/)
    return { group: Number(group), state }
  })
}
