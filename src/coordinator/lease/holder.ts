import { execFileSync } from 'node:child_process'
import { readFileSync, readlinkSync } from 'node:fs'
import { hostname } from 'node:os'
import { identify, isRunning, type ProcessIdentity } from '../../database/process-identity.js'

/** A process that holds the lease, as it is stored with it. */
interface Holder extends ProcessIdentity {
  /** The machine, its boot and its numbering of processes: only within the same a pid means anything. */
  place: string
}

/** This process, in the words that are stored. */
export function thisHolder(): string {
  const { pid, startTime } = identify(process.pid) ?? { pid: process.pid, startTime: '' }
  return JSON.stringify({ place: thisPlace(), pid, startTime } satisfies Holder)
}

/** Whether the process that these words name is proven dead. False where it may be alive, as on another machine. */
export function isProvenDead(words: string): boolean {
  const { place, pid, startTime } = parse(words)
  if (!place || place !== thisPlace() || !pid || !startTime) return false
  return !isRunning({ pid, startTime })
}

function parse(words: string): Partial<Holder> {
  try {
    return JSON.parse(words) as Partial<Holder>
  } catch {
    return {}
  }
}

/** Empty where it cannot be told: then nobody is proven dead. */
function thisPlace(): string {
  try {
    if (process.platform !== 'linux')
      return `${hostname()} ${execFileSync('sysctl', ['-n', 'kern.bootsessionuuid'], { encoding: 'utf8' }).trim()}`
    // Containers of one machine share its boot, and may share its name, but each numbers its own processes.
    const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()
    return `${hostname()} ${boot} ${readlinkSync('/proc/self/ns/pid')}`
  } catch {
    return ''
  }
}
