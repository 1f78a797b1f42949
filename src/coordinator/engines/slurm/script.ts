import type { AttemptName } from '../engine.js'
import { slurmName } from './options.js'
import { overFile } from './traces.js'

/** What a batch script is made of. */
export interface BatchScriptParts {
  attempt: Pick<AttemptName, 'jobId' | 'number'>
  /** The folder that holds `attempts/`. */
  jobDirectory: string
  /** The attempt's own folder. */
  directory: string
  /** Programs, at the same path on every node. */
  nodeBinary: string
  launcherPath: string
  requeuePath: string
  requestPath: string
  /** What starts the trainer on each node, in words that a shell reads: `torchrun --node-rank="$SLURM_NODEID"`. Without single quotes; empty: the trainer starts by itself. */
  starter: string[]
  /** Environment modules that the trainer runs with. */
  modules: string[]
}

/** The texts that stand for a node's place among the others, for the starter's words. */
export const scriptAddress = { nodeRank: '"$SLURM_NODEID"', masterAddress: '"$MASTER_ADDR"', masterPort: '"$MASTER_PORT"' }

/** A word that stands for itself among the starter's words. */
export const scriptWord = (word: string): string => `"${word.replace(/[\\"$`]/g, '\\$&').replaceAll("'", `'\\''`)}"`

/** What modules set that a trainer runs by. */
const ofModules = [
  'PATH',
  'LD_LIBRARY_PATH',
  'PYTHONPATH',
  'PYTHONHOME',
  'VIRTUAL_ENV',
  'CONDA_PREFIX',
  'CUDA_*',
  'CUDNN_*',
  'NCCL_*',
  'ROCM_*',
]

/**
 * The script that Slurm runs on the first of an attempt's nodes, and again after a requeue. It holds no text of a user's: what is run is in the folder.
 * Signals of `scancel --batch` are requests: USR1 checkpoint, TERM stop, QUIT kill; USR2 is Slurm's own, when the time is up.
 */
export function batchScript({ attempt, jobDirectory, directory, starter, modules, ...programs }: BatchScriptParts): string {
  const quoted = (text: string) => `'${text.replaceAll("'", `'\\''`)}'`
  const load =
    modules.length === 0
      ? ''
      : `
# What the trainer runs on. A shell that is no login shell may not know the command.
type module > /dev/null 2>&1 || . /etc/profile
module load ${modules.map(quoted).join(' ')} || exit
`
  const inherited = [
    'CUDA_VISIBLE_DEVICES',
    'ROCR_VISIBLE_DEVICES',
    'HIP_VISIBLE_DEVICES',
    'SLURM_*',
    ...(modules.length > 0 ? ofModules : []),
  ].map((name) => `--inherit "${name}"`)
  return `#!/bin/bash
# ${slurmName(attempt)}, written by ScaiMind. Slurm runs this on the first node; it starts one launcher on each.

export NODE=${quoted(programs.nodeBinary)}
export LAUNCHER=${quoted(programs.launcherPath)}
export REQUEST=${quoted(programs.requestPath)}
export ATTEMPT=${quoted(directory)}
# Until there is something to pass it on to, a request to stop ends this script.
trap 'exit 143' TERM QUIT USR2
trap : USR1

# Slurm runs this again after it lost a node or the place: each time as the next attempt, in a folder of its own.
if [ "\${SLURM_RESTART_COUNT:-0}" -gt 0 ]; then
  ATTEMPT=$("$NODE" ${quoted(programs.requeuePath)} ${quoted(jobDirectory)} --from ${attempt.number} --restarts "$SLURM_RESTART_COUNT") || exit
fi

# What has ended, or was given up before Slurm heard of it, is run by nobody.
[ ! -e "$ATTEMPT/${overFile}" ] || exit 3

# What Slurm says from here on, in this same file after a requeue too, is of this attempt.
echo "Attempt: $ATTEMPT"
# For a coordinator that was away.
[ -e "$ATTEMPT/nodes" ] || echo "$SLURM_JOB_NODELIST" > "$ATTEMPT/nodes"
${load}
# Passes a request on to the launcher of each node, by its pid: a signal of Slurm's own may reach the trainer's processes, which do not expect it.
request() {
  srun --overlap --export=ALL --ntasks-per-node=1 --gres=none --mem=0 --input=none \\
    bash -c '"$NODE" "$REQUEST" "$ATTEMPT" --rank "$SLURM_NODEID" --request "$1"' bash "$1" &
}
trap 'request checkpoint' USR1
trap ': > "$ATTEMPT/stop-asked"; request stop' TERM
trap 'request kill' QUIT
trap ': > "$ATTEMPT/time-limit"; : > "$ATTEMPT/stop-asked"; request stop' USR2

# Where rank 0 is met: the first node by its name, or by its address where names are not resolved.
find_master() {
  MASTER_ADDR=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
  if ! getent hosts "$MASTER_ADDR" > /dev/null; then
    MASTER_ADDR=$(scontrol show node "$MASTER_ADDR" | sed -n 's/.*NodeAddr=\\([^ ]*\\).*/\\1/p')
  fi
  export MASTER_ADDR MASTER_PORT=$((20000 + SLURM_JOB_ID % 10000))
  [ -n "$MASTER_ADDR" ]
}

# A launcher that fails ends the others. One that stopped as it was asked to must not: they still save.
launch() {
  srun --export=ALL --nodes="$SLURM_JOB_NUM_NODES" --ntasks-per-node=1 --kill-on-bad-exit=1 --input=none bash -c '
    : > "$ATTEMPT/reached"
    "$NODE" "$LAUNCHER" "$ATTEMPT" --rank "$SLURM_NODEID" --nodes "$SLURM_JOB_NUM_NODES" \\
      ${inherited.join(' ')}${starter.length > 0 ? ` \\\n      --with ${starter.join(' ')}` : ''}
    code=$?
    [ "$code" = 85 ] && [ -e "$ATTEMPT/stop-asked" ] || exit "$code"
  ' &
  LAUNCHERS=$!
  # A signal ends a wait; the last one answers how srun ended.
  while kill -0 "$LAUNCHERS" 2> /dev/null; do wait "$LAUNCHERS"; done
  wait "$LAUNCHERS"
}

# srun needs the controller to begin. One that is away just then is waited for, some minutes, as long as no node was reached.
for try in $(seq 60); do
  find_master && launch
  code=$?
  [ "$code" = 0 ] || [ -e "$ATTEMPT/reached" ] || [ -e "$ATTEMPT/stop-asked" ] && break
  sleep 5
done
# For what depends on this job, having stopped is no success.
[ "$code" = 0 ] && [ -e "$ATTEMPT/stop-asked" ] && grep -qs '"code":85[,}]' "$ATTEMPT"/exit*.json && code=85
exit "$code"
`
}
