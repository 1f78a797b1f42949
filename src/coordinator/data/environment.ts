import type { FieldProblem } from '../../contract/failure.js'

/** Where trainers look for programs, whatever the coordinator's own PATH is. */
export const trainerSearchPath = ['/usr/local/bin', '/usr/bin', '/bin', '/usr/sbin', '/sbin', '/opt/homebrew/bin']

/** Set by the coordinator, its engine or the launcher, for each attempt. */
const ours = new Set([
  'PATH',
  'HOME',
  'RANK',
  'LOCAL_RANK',
  'GROUP_RANK',
  'NODE_RANK',
  'WORLD_SIZE',
  'LOCAL_WORLD_SIZE',
  'MASTER_ADDR',
  'MASTER_PORT',
  'CUDA_VISIBLE_DEVICES',
  'HIP_VISIBLE_DEVICES',
  'ROCR_VISIBLE_DEVICES',
  'CUDA_DEVICE_ORDER',
])

/** These decide which code a program runs: who may not bring code may not bring them. */
const codeChoosing =
  /^(?:LD_|DYLD_|NODE_|PYTHON(?:PATH|STARTUP|HOME|USERBASE|BREAKPOINT|INSPECT|PLATLIBDIR|EXECUTABLE)$|OPENSSL_|GCONV_PATH$|BASH_ENV$|ENV$)/

const variablesMax = 256
const valueBytesMax = 64 * 1024

/** What is wrong with a job's environment, by field. */
export function environmentProblems(environment: Record<string, string>, at = 'training_config.environment'): FieldProblem[] {
  const entries = Object.entries(environment)
  if (entries.length > variablesMax) return [{ path: at, message: `At most ${variablesMax} variables, not ${entries.length}.` }]
  return entries.flatMap(([name, value]) => {
    const message = problemOf(name, value)
    return message ? [{ path: `${at}.${name}`, message }] : []
  })
}

/** The trainer's environment, built from nothing: a PATH, HOME (the attempt's folder), LANG and TZ, then the job's own. Nothing of the coordinator's. */
export function trainerEnvironment(options: {
  /** The attempt's folder. */
  directory: string
  /** The job's. */
  environment: Record<string, string>
  /** The folders of PATH. Default: the plain ones. */
  searchPath?: string[]
}): Record<string, string> {
  return {
    LANG: 'C.UTF-8',
    TZ: 'UTC',
    // A pipe would be filled by the block, and live logs come late.
    PYTHONUNBUFFERED: '1',
    ...options.environment,
    PATH: (options.searchPath ?? trainerSearchPath).join(':'),
    HOME: options.directory,
  }
}

function problemOf(name: string, value: string): string | null {
  if (!/^[A-Za-z_][A-Za-z0-9_]{0,254}$/.test(name)) return 'A name has letters, digits and _, and does not begin with a digit.'
  if (name.startsWith('SCAIMIND_') || ours.has(name)) return `${name} is set by the coordinator and cannot be given.`
  if (codeChoosing.test(name)) return `${name} would change which code the trainer runs and cannot be given.`
  if (value.includes('\0')) return 'A value cannot hold a NUL character.'
  return Buffer.byteLength(value) > valueBytesMax ? `A value has at most ${valueBytesMax} bytes.` : null
}
