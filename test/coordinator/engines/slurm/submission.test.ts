import { spawnSync } from 'node:child_process'
import { describe, expect, it } from 'vitest'
import type { SchedulingRequest } from '../../../../src/coordinator/engines/engine.js'
import { attemptOfName, type ClusterWays, sbatchOptions, slurmName } from '../../../../src/coordinator/engines/slurm/options.js'
import { waitingJobs } from '../../../../src/coordinator/engines/slurm/queue.js'
import { batchScript, scriptAddress, scriptWord } from '../../../../src/coordinator/engines/slurm/script.js'
import { phaseOf, verdictOf, waitOf } from '../../../../src/coordinator/engines/slurm/states.js'
import { starterWords } from '../../../../src/coordinator/engines/starter.js'
import { schedulingOf } from '../../../conformance/engines-support.js'

const main = { name: 'main', isDefault: true, runSecondsMax: null as number | null }
const ways: ClusterWays = {
  partitions: [main, { name: 'spare', isDefault: false, runSecondsMax: 3600 }],
  preemptiblePartition: null,
  tenantsAreAccounts: false,
}
const attempt = { jobId: 'job_1', number: 2, directory: '/data/jobs/t/job_1/attempts/2' }
const options = (
  more: Partial<SchedulingRequest> = {},
  needs: Partial<SchedulingRequest['needs']> = {},
  changed: Partial<ClusterWays> = {},
) => sbatchOptions(attempt, schedulingOf(more, needs), 60, { ...ways, ...changed })

describe('A submission to Slurm', () => {
  it('is named so that it is found again', () => {
    expect(options()).toContain('--job-name=scaimind-job_1-2')
    expect(attemptOfName(slurmName(attempt))).toEqual({ jobId: 'job_1', number: 2 })
    expect(attemptOfName('train.sh')).toBeNull()
  })

  it.each([
    [{ gpuCount: 8, nodes: 2, gpuType: 'a100' }, ['--nodes=2', '--gres=gpu:a100:4']],
    [{ gpuCount: 1 }, ['--nodes=1', '--gres=gpu:1', '--ntasks-per-node=1']],
    [{ cpusPerNode: 6, memoryBytesPerNode: 3 * 2 ** 30 }, ['--cpus-per-task=6', '--mem=3072M']],
    [{ nodeSelector: { node_id: 'gpu03' } }, ['--nodelist=gpu03']],
    [{ nodeSelector: { feature: 'a100' } }, ['--constraint=a100']],
  ])('asks for %o', (needs, words) => expect(options({}, needs)).toEqual(expect.arrayContaining(words)))

  it.each<[Partial<SchedulingRequest>, string]>([
    [{ priority: 10 }, '--nice=0'],
    [{ priority: 0 }, '--nice=10000'],
    [{ queue: 'spare' }, '--partition=spare'],
    [{ queue: 'none' }, '--partition=none'],
    [{ notBefore: new Date(1_795_257_069_400) }, '--begin=uts1795257070'],
    [{ dependencies: [{ slurm_job_id: 4 }, { slurm_job_id: 5 }] }, '--dependency=afterok:4:5'],
    [{ requeue: true }, '--requeue'],
    [{ requeue: false }, '--no-requeue'],
  ])('says %o as Slurm does', (request, word) => expect(options(request)).toContain(word))

  it('goes to the default partition without naming it, unless one is called so', () => {
    expect(options().some((word) => word.startsWith('--partition'))).toBe(false)
    const partitions = [main, { name: 'default', isDefault: false, runSecondsMax: null }]
    expect(options({}, {}, { partitions })).toContain('--partition=default')
  })

  it('goes to the partition for preemptible jobs where there is one, and to its tenant’s account where there are such', () => {
    expect(options({ preemptible: true }, {}, { preemptiblePartition: 'spare' })).toContain('--partition=spare')
    expect(options({ preemptible: false }, {}, { preemptiblePartition: 'spare' })).not.toContain('--partition=spare')
    expect(options({}, {}, { tenantsAreAccounts: true })).toContain('--account=tenant')
  })

  it.each([1, 30, 59, 60, 61, 600, 86_400])(
    'is asked to save when %s seconds have passed, less than a minute later, with time for it',
    (runSecondsMax) => {
      const words = options({ runSecondsMax })
      const read = (name: string) => Number(words.find((word) => word.startsWith(name))?.slice(name.length))
      const limitSeconds = read('--time=') * 60
      const signalSeconds = read('--signal=B:USR2@')
      // Slurm's signal may be up to a minute early.
      expect(limitSeconds - signalSeconds - 60).toBeGreaterThanOrEqual(runSecondsMax)
      expect(limitSeconds - signalSeconds - runSecondsMax).toBeLessThanOrEqual(60)
      expect(signalSeconds).toBeGreaterThanOrEqual(60)
    },
  )

  it('without a limit has its partition’s, and saves before that', () => {
    expect(options()).toContain('--time=UNLIMITED')
    expect(options({ queue: 'spare' })).toEqual(expect.arrayContaining(['--time=60', '--signal=B:USR2@60']))
    expect(options({ queue: 'spare', runSecondsMax: 3600 })).toContain('--time=60')
    // It could never run as long as it asks: Slurm says so.
    expect(options({ queue: 'spare', runSecondsMax: 7200 })).toContain('--time=122')
  })

  it('tells of name and labels in a comment, of as many as there is room for', () => {
    const labels = Object.fromEntries(Array.from({ length: 64 }, (_, i) => [`label${i}`, 'x'.repeat(60)]))
    const [comment = ''] = options({ labels }).filter((word) => word.startsWith('--comment='))
    expect(comment.length).toBeLessThan(1100)
    expect(JSON.parse(comment.slice('--comment='.length))).toMatchObject({ name: 'A small job', labels: { label0: 'x'.repeat(60) } })
  })

  it.each(['語', 'é"', '😀'])(
    'keeps that comment within the bytes that Slurm allows, whatever %s a name and labels are made of',
    (letter) => {
      const [comment = ''] = options({ name: letter.repeat(250), labels: { a: letter.repeat(60), b: letter.repeat(60) } }).filter((word) =>
        word.startsWith('--comment='),
      )
      expect(Buffer.byteLength(comment.slice('--comment='.length))).toBeLessThanOrEqual(1024)
      expect(JSON.parse(comment.slice('--comment='.length)).name).toMatch(new RegExp(`^(${letter})+`, 'u'))
    },
  )

  it('runs a script that a shell can read, whatever its folder is called', () => {
    const address = scriptAddress
    for (const framework of ['', 'HF_TRAINER', 'FSDP', 'DEEPSPEED']) {
      const script = batchScript({
        attempt,
        jobDirectory: "/data/it's $HOME",
        directory: "/data/it's $HOME/attempts/2",
        nodeBinary: '/usr/bin/node',
        launcherPath: '/opt/main.js',
        requeuePath: '/opt/requeue.js',
        requestPath: '/opt/request.js',
        starter: [...['apptainer', "it's", '$HOME "x"'].map(scriptWord), ...starterWords({ framework, nodes: 2, gpusPerNode: 4, address })],
        modules: ['python/3.12', 'cuda'],
      })
      expect(spawnSync('bash', ['-n'], { input: script, encoding: 'utf8' })).toMatchObject({ status: 0, stderr: '' })
      expect(script).toContain(`ATTEMPT='/data/it'\\''s $HOME/attempts/2'`)
      expect(script).toContain(`--with "apptainer" "it'\\''s" "\\$HOME \\"x\\""`)
      expect(script).toContain(`module load 'python/3.12' 'cuda' || exit`)
      expect(script).toContain('--inherit "LD_LIBRARY_PATH"')
    }
  })
})

describe('Slurm’s states', () => {
  it.each([
    [['PENDING'], 'WAITING'],
    [['PENDING', 'REQUEUED'], 'WAITING'],
    [['RUNNING', 'CONFIGURING'], 'WAITING'],
    [['REQUEUE_HOLD'], 'WAITING'],
    [['RUNNING'], 'RUNNING'],
    [['SUSPENDED'], 'RUNNING'],
    [['COMPLETING'], 'ENDING'],
    [['CANCELLED', 'COMPLETING'], 'ENDING'],
    [['TIMEOUT'], 'ENDED'],
    [['COMPLETED'], 'ENDED'],
  ])('%s is %s', (states, phase) => expect(phaseOf(states)).toBe(phase))

  it('that are none of Slurm’s are refused', () => expect(() => phaseOf(['LOST'])).toThrow("Slurm's job state LOST is not known."))

  it.each([
    ['COMPLETED', 'None', null],
    ['FAILED', 'NonZeroExitCode', null],
    ['FAILED', 'JobLaunchFailure', 'NODE_FAILED'],
    ['FAILED', 'BadConstraints', 'REFUSED'],
    ['NODE_FAIL', 'None', 'NODE_FAILED'],
    ['BOOT_FAIL', 'None', 'NODE_FAILED'],
    ['PREEMPTED', 'None', 'PREEMPTED'],
    ['TIMEOUT', 'TimeLimit', 'TIME_LIMIT'],
    ['DEADLINE', 'DeadLine', 'TIME_LIMIT'],
    ['OUT_OF_MEMORY', 'OutOfMemory', 'OUT_OF_MEMORY'],
    ['CANCELLED', 'None', 'CANCELLED'],
  ])('%s for %s is the verdict %s', (state, reason, cause) => expect(verdictOf([state], reason)?.cause ?? null).toBe(cause))

  it.each([
    ['Priority', 'PRIORITY'],
    ['None', 'PRIORITY'],
    ['Resources', 'RESOURCES'],
    ['Licenses', 'RESOURCES'],
    ['Dependency', 'DEPENDENCY'],
    ['DependencyNeverSatisfied', 'FOREVER'],
    ['BeginTime', 'START_TIME'],
    ['ReqNodeNotAvail', 'NODES'],
    ['Nodes required for job are DOWN, DRAINED or reserved for jobs in higher priority partitions', 'NODES'],
    ['PartitionDown', 'FOREVER'],
    ['PartitionTimeLimit', 'FOREVER'],
    ['JobHeldUser', 'FOREVER'],
    ['AssocGrpGRES', 'QUOTA'],
    ['QOSMaxJobsPerUserLimit', 'QUOTA'],
    ['SomethingNew', 'RESOURCES'],
  ])('waiting for %s is %s to us', (reason, wait) => expect(waitOf(reason)).toBe(wait))

  it('leave a queue in the order in which Slurm would start it', () => {
    const job = {
      partition: 'main',
      states: ['PENDING'],
      reason: 'Priority',
      nice: 0,
      dependency: '',
      nodes: [],
      startTime: null,
      endTime: null,
      exitCode: null,
    }
    const jobs = [
      { ...job, id: 1, name: 'scaimind-job_1-1', userId: 7, priority: 5, restarts: 2 },
      { ...job, id: 2, name: 'scaimind-job_2-1', userId: 8, priority: 9, restarts: 0 },
      { ...job, id: 3, name: 'scaimind-job_3-1', userId: 7, priority: 9, restarts: 0 },
      { ...job, id: 4, name: 'scaimind-job_4-1', userId: 7, priority: 9, restarts: 0, states: ['RUNNING'] },
    ]
    const attempts = waitingJobs(jobs, 7).map(({ attempt }) => attempt)
    expect(attempts).toEqual([null, { jobId: 'job_3', number: 1 }, { jobId: 'job_1', number: 3 }])
  })
})
