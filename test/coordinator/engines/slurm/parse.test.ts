import { describe, expect, it } from 'vitest'
import { SlurmUnavailable } from '../../../../src/coordinator/engines/slurm/failures.js'
import { parseGpuGres } from '../../../../src/coordinator/engines/slurm/gres.js'
import { expandHosts } from '../../../../src/coordinator/engines/slurm/hostlist.js'
import { toEngineNode } from '../../../../src/coordinator/engines/slurm/nodes.js'
import { parseForecast, parseJobs, parseNodes, parsePartitions } from '../../../../src/coordinator/engines/slurm/parse.js'

/** What all versions tell in the same way. */
const job = {
  job_id: 7,
  name: 'scaimind-job_1-1',
  user_id: 0,
  partition: 'main',
  state_reason: 'None',
  restart_cnt: 1,
  nice: 3000,
  dependency: 'afterok:6(unfulfilled)',
  nodes: 'gpu[01-02]',
  gres_detail: ['gpu:a100:2(IDX:0-1)', 'gpu:a100:2(IDX:1,3)'],
  tres_alloc_str: 'cpu=4,mem=400M,node=2,billing=4',
}
const node = {
  name: 'gpu01',
  hostname: 'vm',
  reason: 'fan',
  gres: 'gpu:a100:4',
  gres_used: 'gpu:a100:2(IDX:0-1)',
  cpus: 8,
  real_memory: 5000,
}

const number = (value: number) => ({ set: true, infinite: false, number: value })
const unset = { set: false, infinite: true, number: 0 }

/** The same job and node in the words of each of Slurm's ways of telling. */
const versions = [
  {
    version: '22.05.8',
    meta: { Slurm: { release: '22.05.8' } },
    job: { ...job, job_state: 'RUNNING', priority: 5, cpus: 4, start_time: 1_795_257_069, end_time: 0, exit_code: 3328 },
    node: { ...node, state: 'mixed', state_flags: ['DRAIN'], reason_set_by_user: 'root', slurmd_start_time: 1_795_257_045 },
  },
  {
    version: '23.02.7',
    meta: { Slurm: { release: '23.02.7' } },
    job: { ...job, job_state: 'RUNNING', priority: number(5), cpus: number(4), start_time: 1_795_257_069, end_time: 0, exit_code: 3328 },
    node: { ...node, state: ['MIXED', 'DRAIN'], reason_set_by_user: 'root', slurmd_start_time: 1_795_257_045 },
  },
  {
    version: '24.05.3',
    meta: { slurm: { release: '24.05.3' } },
    job: {
      ...job,
      job_state: ['RUNNING'],
      priority: number(5),
      cpus: number(4),
      start_time: number(1_795_257_069),
      end_time: unset,
      exit_code: { status: ['ERROR'], return_code: number(13), signal: { id: unset, name: '' } },
    },
    node: { ...node, state: ['MIXED', 'DRAIN'], reason_set_by_user: 'root', slurmd_start_time: number(1_795_257_045) },
  },
]

describe('What Slurm tells', () => {
  it.each(versions)('of jobs is read the same of version $version', ({ meta, job }) => {
    const place = { cpus: 2, memoryBytes: 200 * 2 ** 20 }
    expect(parseJobs(JSON.stringify({ meta, errors: [], jobs: [job] }))).toEqual([
      {
        id: 7,
        name: 'scaimind-job_1-1',
        userId: 0,
        partition: 'main',
        states: ['RUNNING'],
        reason: 'None',
        priority: 5,
        nice: 3000,
        restarts: 1,
        dependency: 'afterok:6(unfulfilled)',
        nodes: [
          { nodeId: 'gpu01', gpuIndexes: [0, 1], ...place },
          { nodeId: 'gpu02', gpuIndexes: [1, 3], ...place },
        ],
        startTime: new Date(1_795_257_069_000),
        endTime: null,
        exitCode: 13,
      },
    ])
  })

  it.each(versions)('of nodes is read the same of version $version', ({ meta, node }) => {
    const [read] = parseNodes('sinfo', JSON.stringify({ meta, errors: [], nodes: [node] }))
    expect(read && toEngineNode(read, new Date(0))).toMatchObject({
      nodeId: 'gpu01',
      hostname: 'vm',
      online: true,
      draining: true,
      reason: 'fan (root)',
      gpus: [true, true, false, false].map((busy, index) => ({ index, type: 'a100', busy })),
      cpus: 8,
      memoryBytes: 5000 * 2 ** 20,
    })
  })

  it.each([
    [['DOWN'], false],
    [['IDLE', 'NOT_RESPONDING'], false],
    [['IDLE', 'POWERED_DOWN'], false],
    [['DOWN', 'DRAIN'], false],
    [['ALLOCATED'], true],
    [['IDLE', 'DRAIN'], true],
    [['MIXED', 'PLANNED'], true],
  ])('has nodes that are %s online: %s', (state, online) => {
    const [read] = parseNodes('scontrol show nodes', JSON.stringify({ nodes: [{ ...node, state, slurmd_start_time: 0 }] }))
    expect(read && toEngineNode(read, new Date(0)).online).toBe(online)
  })

  it('is refused with version and field where a field cannot be read', () => {
    const answer = { meta: { slurm: { release: '24.05.3' } }, errors: [], jobs: [versions[2]?.job, { ...job, job_state: 3 }] }
    expect(() => parseJobs(JSON.stringify(answer))).toThrow(/^Slurm 24\.05\.3: squeue's jobs\[1\]\.job_state cannot be read: /)
    expect(() => parseJobs('{"meta": {}}')).toThrow("Slurm of unknown version: squeue's jobs cannot be read: there is no such list.")
    expect(() => parseJobs('slurm_load_jobs')).toThrow('squeue printed what is no JSON')
  })

  it('is no empty list where the controller is away, though 22.05’s squeue ends well then', () => {
    const answer = { errors: [{ description: 'Failed while looking for jobs', error: 'Unspecified error' }], jobs: [] }
    expect(() => parseJobs(JSON.stringify(answer))).toThrow(SlurmUnavailable)
  })

  it('of partitions is read with limits and nodes, the default one first', () => {
    const text = `PartitionName=long Default=NO MaxTime=7-00:00:00 Nodes=cpu[1-3],gpu01 State=DOWN
PartitionName=main AllowGroups=ALL Default=YES DefaultTime=01:00:00 MaxTime=UNLIMITED Nodes=gpu[01-02] State=UP`
    expect(parsePartitions(text)).toEqual([
      { name: 'main', isDefault: true, up: true, runSecondsMax: null, nodeNames: ['gpu01', 'gpu02'] },
      { name: 'long', isDefault: false, up: false, runSecondsMax: 604_800, nodeNames: ['cpu1', 'cpu2', 'cpu3', 'gpu01'] },
    ])
  })

  it('of a start that it expects is read from one line', () => {
    const line = 'sbatch: Job 3 to start at 2026-11-21T10:59:28 using 1 processors on nodes gpu[04-05] in partition main'
    expect(parseForecast(line)).toEqual({ start: new Date('2026-11-21T10:59:28Z'), nodeNames: ['gpu04', 'gpu05'] })
    expect(parseForecast('allocation failure')).toBeNull()
  })

  it.each([
    ['gpu[01-03,07],login', ['gpu01', 'gpu02', 'gpu03', 'gpu07', 'login']],
    ['r[1-2]n[09-10]', ['r1n09', 'r1n10', 'r2n09', 'r2n10']],
    ['', []],
  ])('in short lists of nodes is spelled out: %s', (list, names) => expect(expandHosts(list)).toEqual(names))

  it.each([
    ['gpu:a100:4(S:0-1),nic:2', [{ type: 'a100', count: 4, indexes: null }]],
    ['gpu:2', [{ type: '', count: 2, indexes: null }]],
    [
      'gpu:a100:1(IDX:0),gpu:h100:2(IDX:4-5)',
      [
        { type: 'a100', count: 1, indexes: [0] },
        { type: 'h100', count: 2, indexes: [4, 5] },
      ],
    ],
    ['gpu:a100:0(IDX:N/A)', [{ type: 'a100', count: 0, indexes: [] }]],
    ['gres/gpu:a100=2', [{ type: 'a100', count: 2, indexes: null }]],
  ])('of GPUs is read of %s', (list, gpus) => expect(parseGpuGres(list)).toEqual(gpus))
})
