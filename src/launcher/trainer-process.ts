import { type ChildProcess, spawn } from 'node:child_process'
import { createServer } from 'node:net'
import { inheritedVariables, type LauncherArguments } from './arguments.js'
import type { LaunchOrder } from './order.js'
import type { OutputPipe } from './output-pipes.js'

/**
 * Waits on descriptor 3 before it becomes the trainer, under the same pid: until that pid is recorded nothing runs, and where the
 * launcher dies before, nothing ever does. The names are the shell's own additions to the environment.
 */
const gate = 'read -r go <&3 || exit 125; exec 3<&-; unset PWD OLDPWD SHLVL; exec "$@"'

/** What a trainer's process is made of. */
export interface TrainerOptions {
  order: LaunchOrder
  arguments: LauncherArguments
  /** The launcher's own environment: of it a trainer gets MASTER_ADDR and MASTER_PORT (default: this machine, any free port), and what is inherited. */
  environment: NodeJS.ProcessEnv
  output: { stdout: OutputPipe; stderr: OutputPipe }
}

/** Prepares the trainer's process, in a session and process group of its own, with the attempt's folder as its working directory. It starts when `openGate` is called. */
export async function prepareTrainer({ order, arguments: given, environment, output }: TrainerOptions): Promise<ChildProcess> {
  const { directory, rank, nodes, starter } = given
  const env = {
    ...trainerEnvironment(order, given, environment),
    ...identityOf(directory, rank),
    ...(starter.length > 0 ? { TORCH_ELASTIC_SHUTDOWN_TIMEOUT: String(Math.max(1, Math.ceil(order.stop_grace_seconds))) } : {}),
    RANK: String(rank),
    LOCAL_RANK: '0',
    WORLD_SIZE: String(nodes),
    MASTER_ADDR: environment.MASTER_ADDR ?? '127.0.0.1',
    MASTER_PORT: environment.MASTER_PORT ?? String(await freePort()),
  }
  return spawn('/bin/sh', ['-c', gate, 'trainer', ...starter, ...order.command], {
    cwd: directory,
    env,
    detached: true,
    stdio: ['ignore', output.stdout.writeEnd, output.stderr.writeEnd, 'pipe'],
  })
}

/** A trainer's environment, but for what the launcher adds: what was ordered, and what it inherits. */
export const trainerEnvironment = (
  { environment }: LaunchOrder,
  { inherit }: LauncherArguments,
  own: NodeJS.ProcessEnv,
): NodeJS.ProcessEnv => {
  const inherited = inheritedVariables(inherit, own)
  // What lies beside the ordered interpreter, such as its starters, is found where modules have none.
  if (inherited.PATH !== undefined && environment.PATH) inherited.PATH = `${inherited.PATH}:${environment.PATH}`
  return { ...environment, ...inherited }
}

/** The variables that tell a trainer's processes from all others; no starter changes them. */
export const identityOf = (directory: string, rank: number) => ({ SCAIMIND_JOB_DIR: directory, NODE_RANK: String(rank) })

/** Lets a prepared trainer start. */
export function openGate(trainer: ChildProcess): void {
  const pipe = trainer.stdio[3]
  if (!pipe || !('end' in pipe)) return
  // It may be dead already; its exit tells.
  pipe.on('error', () => {})
  pipe.end('\n')
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer()
    server.once('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const address = server.address()
      server.close(() => resolve(typeof address === 'object' && address ? address.port : 0))
    })
  })
}
