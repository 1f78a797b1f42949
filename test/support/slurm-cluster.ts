import { type ChildProcess, execFile, spawn, spawnSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { closeSync, existsSync, mkdirSync, mkdtempSync, openSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { hostname, tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { promisify } from 'node:util'
import { freePort } from '../../src/database/free-port.js'

/** A real Slurm of this machine's own: four nodes with four GPUs (`a100`) and eight CPUs each, in a temporary folder, on ports of its own. */
export interface SlurmCluster {
  /** For SLURM_CONF. */
  conf: string
  nodeNames: string[]
  /** Runs one of Slurm's commands and answers its output; throws with what it said where it fails. */
  slurm(command: string, ...args: string[]): Promise<string>
  /** Kills the node's daemon as a power cut would, and lets the jobs on it run on. */
  killNode(name: string): Promise<void>
  startNode(name: string): Promise<void>
  /** Slurm cannot be asked until it is started again. */
  stopController(): Promise<void>
  startController(): Promise<void>
  /** Ends every process of it, jobs too, and removes its folder. Twice is fine. */
  stop(): Promise<void>
}

const nodeNames = ['gpu01', 'gpu02', 'gpu03', 'gpu04']
const programs = ['munged', 'slurmctld', 'slurmd', 'sbatch']
const env = { PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' }

/** Why there can be no Slurm here; empty where there can. */
export function slurmMissing(): string {
  if (process.platform !== 'linux' || process.getuid?.() !== 0) return 'a Slurm of its own needs root on Linux'
  const missing = programs.filter((program) => !env.PATH.split(':').some((folder) => existsSync(join(folder, program))))
  return missing.length === 0 ? '' : `${missing.join(', ')} not found: apt-get install slurmctld slurmd slurm-client munge`
}

/**
 * Whether tests of Slurm are to be skipped here. That is said loudly; where CI is set they run and fail, so that nobody takes
 * silence for success.
 */
export function skipsSlurm(): boolean {
  const reason = slurmMissing()
  if (reason === '' || process.env.CI) return false
  process.stderr.write(`\n*** NOT TESTED: Slurm. ${reason}.\n\n`)
  return true
}

/** Starts the cluster and waits until all of its nodes are idle. Timeouts are short: a node that is silent for some seconds is DOWN. */
export async function startSlurm({ minJobAgeSeconds = 300 } = {}): Promise<SlurmCluster> {
  const missing = slurmMissing()
  if (missing) throw new Error(missing)
  const folder = mkdtempSync(join(tmpdir(), 'scaimind-slurm-'))
  const at = (name: string) => join(folder, name)
  const conf = at('slurm.conf')
  const daemons = new Map<string, ChildProcess>()

  function start(name: string, program: string, args: string[]): void {
    const log = openSync(at(`${name}.log`), 'a')
    // A session of its own: a Ctrl-C in the terminal of the tests is not for it. It goes with the process of the tests, however that ends.
    const daemon = spawn('setpriv', ['--pdeathsig', 'KILL', program, ...args], {
      detached: true,
      stdio: ['ignore', log, log],
      env: { ...env, SLURM_CONF: conf },
    })
    closeSync(log)
    daemons.set(name, daemon)
  }
  async function end(name: string, signal: NodeJS.Signals): Promise<void> {
    const daemon = daemons.get(name)
    daemons.delete(name)
    if (daemon?.exitCode !== null || daemon.signalCode !== null) return
    const ended = once(daemon, 'exit')
    daemon.kill(signal)
    await ended
  }
  async function slurm(command: string, ...args: string[]): Promise<string> {
    const { stdout } = await promisify(execFile)(command, args, { env: { ...env, SLURM_CONF: conf }, maxBuffer: 2 ** 26 })
    return stdout
  }
  const startController = () => start('slurmctld', 'slurmctld', ['-D', '-i'])
  const startNode = (name: string) => start(name, 'slurmd', ['-D', '-N', name])

  for (const name of ['state', ...nodeNames]) mkdirSync(at(name))
  for (const index of [0, 1, 2, 3]) spawnSync('mknod', [at(`gpu${index}`), 'c', '1', '3'])
  const ports = await Promise.all(['slurmctld', ...nodeNames].map(() => freePort()))
  writeFileSync(conf, slurmConf(folder, ports, minJobAgeSeconds))
  writeFileSync(at('gres.conf'), `Name=gpu Type=a100 File=${folder}/gpu[0-3]\n`)
  writeFileSync(at('munge.key'), randomBytes(128), { mode: 0o400 })
  start('munged', 'munged', [
    '--foreground',
    '--force',
    `--key-file=${at('munge.key')}`,
    `--socket=${at('munge.socket')}`,
    `--pid-file=${at('munged.pid')}`,
    `--seed-file=${at('munge.seed')}`,
    `--log-file=${at('munge.log')}`,
  ])
  await until(() => existsSync(at('munge.socket')), 'munged did not start')
  startController()
  for (const name of nodeNames) startNode(name)

  const cluster: SlurmCluster = {
    conf,
    nodeNames,
    slurm,
    killNode: (name) => end(name, 'SIGKILL'),
    async startNode(name) {
      startNode(name)
      await until(
        async () => /idle|mixed|alloc|drain/.test(await slurm('sinfo', '-h', '-n', name, '-o', '%T')),
        `${name} did not come back`,
      )
    },
    stopController: () => end('slurmctld', 'SIGTERM'),
    async startController() {
      startController()
      await until(async () => (await slurm('scontrol', 'ping')).includes('UP'), 'slurmctld did not come back')
    },
    async stop() {
      // Slurm's daemons first: they would start again what is killed.
      await Promise.all(['slurmctld', ...nodeNames].map((name) => end(name, 'SIGKILL')))
      killAllOf(folder)
      await end('munged', 'SIGKILL')
      rmSync(folder, { recursive: true, force: true })
    },
  }
  const ready = async () => (await slurm('sinfo', '-h', '-N', '-o', '%T')).split('\n').filter((state) => state === 'idle').length >= 4
  try {
    await until(ready, 'its nodes are not idle')
  } catch (error) {
    const logs = ['slurmctld', 'gpu01'].map((name) => readFileSync(at(`${name}.log`), 'utf8').slice(-2000))
    await cluster.stop()
    throw new Error(`Slurm did not start: ${error}\n${logs.join('\n')}`)
  }
  return cluster
}

function slurmConf(folder: string, [port, ...nodePorts]: number[], minJobAgeSeconds: number): string {
  const nodes = nodeNames.map(
    (name, i) =>
      `NodeName=${name} NodeHostname=${hostname()} NodeAddr=127.0.0.1 Port=${nodePorts[i]} CPUs=8 RealMemory=5000 Gres=gpu:a100:4 Feature=${i < 2 ? 'left' : 'right'}`,
  )
  return `ClusterName=scaimind
SlurmctldHost=${hostname()}(127.0.0.1)
SlurmctldPort=${port}
SlurmUser=root
AuthType=auth/munge
# What is requeued waits as long as credentials live.
AuthInfo=socket=${folder}/munge.socket,cred_expire=5
StateSaveLocation=${folder}/state
SlurmdSpoolDir=${folder}/%n
SlurmctldPidFile=${folder}/slurmctld.pid
SlurmdPidFile=${folder}/%n.pid
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SwitchType=switch/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerType=sched/backfill
SchedulerParameters=sched_min_interval=10000,sched_interval=1,bf_interval=1,batch_sched_delay=0
PriorityType=priority/basic
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
GresTypes=gpu
ReturnToService=2
SlurmdTimeout=3
SlurmctldTimeout=6
MessageTimeout=3
InactiveLimit=0
KillWait=5
UnkillableStepTimeout=60
MinJobAge=${minJobAgeSeconds}
DefMemPerCPU=400
JobRequeue=1
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill
${nodes.join('\n')}
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE DefaultTime=60 State=UP PriorityTier=10
PartitionName=spare Nodes=ALL MaxTime=INFINITE DefaultTime=60 State=UP PriorityTier=1 PreemptMode=REQUEUE
PartitionName=short Nodes=gpu04 MaxTime=5 DefaultTime=1 State=UP PriorityTier=10
`
}

/** Kills what carries the cluster's configuration in its environment: what Slurm started, and what that started. */
function killAllOf(folder: string): void {
  for (let found = [0]; found.length > 0; ) {
    found = readdirSync('/proc')
      .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
      .map(Number)
      .filter((pid) => carries(pid, `SLURM_CONF=${folder}/slurm.conf`))
    found.forEach(killIfThere)
  }
}

function killIfThere(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
  }
}

function carries(pid: number, setting: string): boolean {
  try {
    return readFileSync(`/proc/${pid}/environ`, 'utf8').split('\0').includes(setting)
  } catch {
    return false
  }
}

async function until(holds: () => boolean | Promise<boolean>, complaint: string, timeoutMs = 30_000): Promise<void> {
  for (const end = Date.now() + timeoutMs; ; await delay(50)) {
    const held = await Promise.resolve(holds()).catch(() => false)
    if (held) return
    if (Date.now() > end) throw new Error(complaint)
  }
}
