import { type ChildProcess, spawn } from 'node:child_process'
import { createServer } from 'node:net'
import type { LaunchOrder } from './order.js'
import type { OutputPipe } from './output-pipes.js'

/**
 * Waits on descriptor 3 before it becomes the trainer, under the same pid: until that pid is recorded nothing runs, and where the
 * launcher dies before, nothing ever does. The names are the shell's own additions to the environment.
 */
const gate = 'read -r go <&3 || exit 125; exec 3<&-; unset PWD OLDPWD SHLVL; exec "$@"'

/** Prepares the trainer's process, in a session and process group of its own, with the attempt's folder as its working directory. It starts when `openGate` is called. */
export async function prepareTrainer(
  directory: string,
  order: LaunchOrder,
  output: { stdout: OutputPipe; stderr: OutputPipe },
): Promise<ChildProcess> {
  const env = {
    ...order.environment,
    SCAIMIND_JOB_DIR: directory,
    RANK: String(order.rank),
    LOCAL_RANK: '0',
    WORLD_SIZE: String(order.world_size),
    MASTER_ADDR: order.master_addr ?? '127.0.0.1',
    MASTER_PORT: String(order.master_port ?? (await freePort())),
  }
  return spawn('/bin/sh', ['-c', gate, 'trainer', ...order.command], {
    cwd: directory,
    env,
    detached: true,
    stdio: ['ignore', output.stdout.writeEnd, output.stderr.writeEnd, 'pipe'],
  })
}

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
