import { execFileSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'

const linux = process.platform === 'linux'

/** A process that no later one with the same pid is mistaken for: pid and start time, within one boot of the machine. */
export interface Identity {
  pid: number
  startTime: string
  bootId: string
}

/** Whether this very process is alive. A zombie is not. */
export function isRunning({ pid, startTime, bootId }: Identity): boolean {
  const found = bootId === currentBootId() ? lookUp(pid) : null
  return found !== null && found.startTime === startTime && !found.zombie
}

/** Signals this very process; nothing where it has ended. */
export function signalProcess(identity: Identity, signal: NodeJS.Signals): void {
  if (isRunning(identity)) send(identity.pid, signal)
}

/**
 * Whether the process group that the trainer leads, or led, has a member alive. With its leader gone, a group is believed only where a
 * member carries the attempt's folder in its environment (on Linux; elsewhere it counts as dead): by then another may have the number.
 */
export function isTrainerGroupAlive(trainer: Identity, directory: string): boolean {
  if (trainer.bootId !== currentBootId() || !groupExists(trainer.pid)) return false
  const leader = lookUp(trainer.pid)
  if (leader) {
    if (leader.startTime !== trainer.startTime) return false
    return !leader.zombie || membersOf(trainer.pid).length > 0
  }
  return membersOf(trainer.pid).some((pid) => carriesFolder(pid, directory))
}

/** Kills the trainer's group where it is alive and this attempt's. */
export function killTrainerGroup(trainer: Identity, directory: string): void {
  if (isTrainerGroupAlive(trainer, directory)) send(-trainer.pid, 'SIGKILL')
}

/** Kills what carries the attempt's folder in its environment, on Linux, and answers how many there were: a starter's workers have sessions of their own, and outlive it. */
export function killCarriers(directory: string): number {
  if (!linux) return 0
  const pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name) && carriesFolder(Number(name), directory))
  for (const pid of pids) send(Number(pid), 'SIGKILL')
  return pids.length
}

let boot: string | undefined

/** Names the time since the machine was switched on, in the launcher's words. */
function currentBootId(): string {
  boot ??= readBootId()
  return boot
}

function readBootId(): string {
  try {
    if (linux) return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()
    return execFileSync('sysctl', ['-n', 'kern.bootsessionuuid'], { encoding: 'utf8' }).trim()
  } catch {
    return ''
  }
}

interface Found {
  group: number
  startTime: string
  zombie: boolean
}

function lookUp(pid: number): Found | null {
  try {
    if (!linux) return parsePs(execFileSync('ps', ['-o', 'pgid=,stat=,lstart=', '-p', String(pid)], { encoding: 'utf8' }))
    // The name, in brackets, may itself hold spaces and brackets; what follows the last one is numbers.
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    const [state = '', , group = '', ...rest] = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    return { group: Number(group), startTime: rest[16] ?? '', zombie: state === 'Z' || state === 'X' }
  } catch {
    return null
  }
}

function parsePs(row: string): Found | null {
  const match = /^\s*(\d+)\s+(\S+)\s+(.+?)\s*$/.exec(row)
  if (!match) return null
  const [, group = '', state = '', startTime = ''] = match
  return { group: Number(group), startTime, zombie: state.startsWith('Z') }
}

function groupExists(group: number): boolean {
  try {
    process.kill(-group, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}

function membersOf(group: number): number[] {
  if (!linux) {
    const rows = execFileSync('ps', ['-axo', 'pid=,pgid=,stat='], { encoding: 'utf8' }).trim().split('\n')
    return rows.flatMap((row) => {
      const [pid = '', its = '', state = ''] = row.trim().split(/\s+/)
      return Number(its) === group && !state.startsWith('Z') ? [Number(pid)] : []
    })
  }
  return readdirSync('/proc').flatMap((name) => {
    const found = /^\d+$/.test(name) ? lookUp(Number(name)) : null
    return found?.group === group && !found.zombie ? [Number(name)] : []
  })
}

function carriesFolder(pid: number, directory: string): boolean {
  try {
    return linux && readFileSync(`/proc/${pid}/environ`, 'utf8').split('\0').includes(`SCAIMIND_JOB_DIR=${directory}`)
  } catch {
    return false
  }
}

function send(target: number, signal: NodeJS.Signals): void {
  try {
    process.kill(target, signal)
  } catch {
    // It ended by itself.
  }
}
