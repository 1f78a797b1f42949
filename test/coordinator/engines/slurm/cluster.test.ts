import { existsSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it, onTestFinished, vi } from 'vitest'
import type { AttemptOrder, Engine, EngineEvent, EngineHandle } from '../../../../src/coordinator/engines/engine.js'
import { slurmEngine } from '../../../../src/coordinator/engines/slurm/engine.js'
import { attemptOf, isAlive, listen, logLines, schedulingOf, type Told, untilWritten } from '../../../conformance/engines-support.js'
import { type SlurmCluster, skipsSlurm, startSlurm } from '../../../support/slurm-cluster.js'

/** Prints each second, says that it is there, and on SIGTERM exits with 85. */
const prints = `import { writeFileSync } from 'node:fs'
process.on('SIGTERM', () => process.exit(85))
let count = 0
setInterval(() => console.log('line', process.env.RANK, ++count), 100)
writeFileSync(process.env.SCAIMIND_JOB_DIR + '/running.' + process.env.RANK, String(process.pid))`

const minute = 60_000

describe.skipIf(skipsSlurm())('The Slurm engine on a cluster of four nodes', () => {
  let cluster: SlurmCluster
  let engine: Engine
  let told: Told
  let life: AbortController

  function nextLife(): void {
    engine = slurmEngine({ conf: cluster.conf, pollMs: 200 })
    life = new AbortController()
    told = listen(engine, life.signal)
  }
  async function endOfLife(): Promise<void> {
    life.abort()
    await engine.close()
  }
  beforeAll(async () => {
    cluster = await startSlurm()
    nextLife()
  })
  afterAll(async () => {
    await endOfLife()
    await cluster.stop()
  })

  const show = (handle: EngineHandle) => cluster.slurm('scontrol', 'show', 'job', '--oneliner', String(handle.slurm_job_id))
  /** The first event of a type of the job, as soon as it is told. */
  function heard<Type extends EngineEvent['type']>({ jobId }: AttemptOrder, type: Type, number = 1) {
    return vi.waitFor(
      () => {
        const found = told.events.find(
          ({ attempt, ...event }) => event.type === type && attempt.jobId === jobId && attempt.number === number,
        )
        if (!found) throw new Error(`${type} of ${jobId} was not told`)
        return found as Extract<EngineEvent, { type: Type }>
      },
      { timeout: minute, interval: 20 },
    )
  }
  const inNext = (order: AttemptOrder, number: number): AttemptOrder => ({
    ...order,
    number,
    directory: join(dirname(order.directory), String(number)),
  })

  it('says in Slurm’s words what was asked for', async () => {
    const first = attemptOf('', { scheduling: schedulingOf({ notBefore: new Date(Date.now() + 3_600_000) }) })
    const waits = await engine.submit(first)
    const scheduling = schedulingOf(
      {
        queue: 'spare',
        priority: 7,
        dependencies: [waits],
        runSecondsMax: 600,
        requeue: false,
        name: 'Tune "it"; rm -rf $HOME',
        labels: { team: 'a b' },
      },
      { nodes: 2, gpuCount: 4, gpuType: 'a100', cpusPerNode: 3, memoryBytesPerNode: 2 ** 30, nodeSelector: { feature: 'right' } },
    )
    const order = attemptOf('', { scheduling })
    const handle = await engine.submit(order)
    const text = await show(handle)
    for (const words of [
      `JobName=scaimind-${order.jobId}-1 `,
      'NumNodes=2',
      'CPUs/Task=3',
      'MinMemoryNode=1G',
      'TresPerNode=gres:gpu:a100:2',
      'Features=right',
      'Partition=spare',
      'Nice=3000',
      'Requeue=0',
      'TimeLimit=00:12:00',
      `Dependency=afterok:${waits.slurm_job_id}(unfulfilled)`,
      'Comment={"tenant":"tenant","name":"Tune \\"it\\"; rm -rf $HOME","labels":{"team":"a b"}}',
    ])
      expect(text).toContain(words)

    await engine.scheduler?.update(order, handle, { priority: 2, dependencies: [] })
    expect(await show(handle)).toMatch(/Dependency=\(null\).*Nice=8000|Nice=8000.*Dependency=\(null\)/)
    await engine.signal(order, handle, 'stop')
    await engine.signal(first, waits, 'kill')
    expect(await told.ended(first.jobId)).toMatchObject({ exitCode: null, lost: false, verdict: null })
    expect(told.events.filter(({ attempt }) => attempt.jobId === first.jobId).map(({ type }) => type)).toEqual(['ended'])
  })

  it('tells of a submission that Slurm refuses in Slurm’s words, in later lives too', async () => {
    const order = attemptOf('', { scheduling: schedulingOf({}, { gpuCount: 1, gpuType: 'h100' }) })
    const handle = await engine.submit(order)
    expect(await told.ended(order.jobId)).toMatchObject({
      verdict: { cause: 'REFUSED', words: expect.stringContaining('Requested node configuration is not available') },
    })
    await endOfLife()
    nextLife()
    expect(await engine.reattach(order, null)).toEqual(handle)
    expect(await told.ended(order.jobId)).toMatchObject({ verdict: { cause: 'REFUSED' } })
  })

  it('starts a launcher on each node, and all of them stop in their own time', async () => {
    const script = `import { writeFileSync } from 'node:fs'
      const { RANK, WORLD_SIZE, NODE_RANK, MASTER_ADDR, MASTER_PORT, CUDA_VISIBLE_DEVICES, SLURM_JOB_NODELIST } = process.env
      console.log(JSON.stringify({ RANK, WORLD_SIZE, NODE_RANK, MASTER_ADDR, MASTER_PORT, CUDA_VISIBLE_DEVICES, SLURM_JOB_NODELIST }))
      // Rank 1 saves for long after the others have ended.
      process.on('SIGTERM', () => setTimeout(() => process.exit(85), RANK === '1' ? 6500 : 0))
      setInterval(() => {}, 1000)
      writeFileSync('running.' + RANK, 'x')`
    const needs = { nodes: 2, gpuCount: 4, gpuType: 'a100', nodeSelector: { feature: 'left' } }
    const order = attemptOf(script, { scheduling: schedulingOf({}, needs) })
    const handle = await engine.submit(order)
    await Promise.all([untilWritten(order, 'running.0'), untilWritten(order, 'running.1')])
    const { placement = [] } = await heard(order, 'started')
    expect(placement.map(({ nodeId, gpuIndexes }) => ({ nodeId, gpus: gpuIndexes.length }))).toEqual([
      { nodeId: 'gpu01', gpus: 2 },
      { nodeId: 'gpu02', gpus: 2 },
    ])
    expect(placement[0]).toMatchObject({ cpus: 1, memoryBytes: 2 ** 29 })
    const [node] = (await engine.nodes()).filter(({ nodeId }) => nodeId === 'gpu01')
    expect(node?.gpus.filter(({ busy }) => busy).map(({ index }) => index)).toEqual(placement[0]?.gpuIndexes)
    await engine.signal(order, handle, 'stop')
    expect(await told.ended(order.jobId)).toMatchObject({ exitCode: 85, lost: false, verdict: null })
    const environments = [0, 1].map((rank) => JSON.parse(logLines(order, rank)[0]?.text ?? ''))
    expect(environments).toEqual(
      [0, 1].map((rank) => ({
        RANK: String(rank),
        NODE_RANK: String(rank),
        WORLD_SIZE: '2',
        MASTER_ADDR: '127.0.0.1',
        MASTER_PORT: String(20_000 + (Number(handle.slurm_job_id) % 10_000)),
        CUDA_VISIBLE_DEVICES: placement[rank]?.gpuIndexes.join(','),
        SLURM_JOB_NODELIST: 'gpu[01-02]',
      })),
    )
    expect(JSON.parse(await untilWritten(order, 'exit.1.json'))).toMatchObject({ code: 85 })
    // What depends on it must not take it for done.
    expect(await show(handle)).toContain('ExitCode=85:0')
  })

  it('ends the other nodes where one fails, and tells that one’s code', async () => {
    const script = `if (process.env.RANK === '1') setTimeout(() => process.exit(7), 300)
      else setInterval(() => {}, 1000)`
    const order = attemptOf(script, { scheduling: schedulingOf({}, { nodes: 2 }) })
    await engine.submit(order)
    expect(await told.ended(order.jobId)).toMatchObject({ exitCode: 7, lost: false, verdict: null })
  })

  it('tells of an administrator’s scancel as such', async () => {
    const order = attemptOf(prints)
    const handle = await engine.submit(order)
    await untilWritten(order, 'running.0')
    await cluster.slurm('scancel', String(handle.slurm_job_id))
    expect(await told.ended(order.jobId)).toMatchObject({ verdict: { cause: 'CANCELLED' }, lost: false })
  })

  it('has a trainer save when its time is up', async () => {
    const order = attemptOf(prints, { scheduling: schedulingOf({ runSecondsMax: 30 }), stopGraceSeconds: 10 })
    const handle = await engine.submit(order)
    await untilWritten(order, 'running.0')
    expect(await show(handle)).toContain('TimeLimit=00:02:00')
    // What Slurm does by itself a minute later.
    await cluster.slurm('scancel', '--signal=USR2', '--batch', String(handle.slurm_job_id))
    expect(await told.ended(order.jobId)).toMatchObject({ exitCode: 85, verdict: { cause: 'TIME_LIMIT' } })
  })

  it('tells of a trainer that Slurm killed for its memory as such', async () => {
    const script = 'const all = []; setInterval(() => all.push(Buffer.alloc(2 ** 26, 1)), 50)'
    const order = attemptOf(script, { scheduling: schedulingOf({}, { memoryBytesPerNode: 2 ** 28 }) })
    await engine.submit(order)
    const words = expect.stringContaining('memory limit')
    expect(await told.ended(order.jobId)).toMatchObject({ verdict: { cause: 'OUT_OF_MEMORY', words } })
  })

  it('finds nodes drained by scontrol and through it the same, and enables both', async () => {
    await cluster.slurm('scontrol', 'update', 'NodeName=gpu03', 'State=DRAIN', 'Reason=fan')
    await engine.nodeControl?.drain('gpu04', 'fan')
    await engine.nodeControl?.drain('gpu04', 'fan')
    const drained = (await engine.nodes()).filter(({ draining }) => draining)
    expect(drained.map(({ nodeId, online, reason }) => ({ nodeId, online, reason }))).toEqual(
      ['gpu03', 'gpu04'].map((nodeId) => ({ nodeId, online: true, reason: 'fan (root)' })),
    )
    for (const nodeId of ['gpu03', 'gpu04', 'gpu04']) await engine.nodeControl?.enable(nodeId)
    expect((await engine.nodes()).some(({ draining }) => draining)).toBe(false)
  })

  it('shows the whole queue in Slurm’s order, others’ jobs among ours, and forecasts', async () => {
    const all = schedulingOf({ runSecondsMax: 3600 }, { nodes: 4, gpuCount: 16 })
    const holder = attemptOf(prints, { scheduling: all })
    const free = { start: expect.any(Date), nodeIds: cluster.nodeNames, reason: '' }
    // A node that was just enabled does not respond for a moment, by Slurm's word.
    await vi.waitFor(async () => expect(await engine.scheduler?.forecast(all)).toMatchObject(free), { timeout: minute, interval: 200 })
    const held = await engine.submit(holder)
    await untilWritten(holder, 'running.3')
    const [late, soon] = [1, 9].map((priority) => attemptOf('', { scheduling: { ...all, priority } })) as [AttemptOrder, AttemptOrder]
    const handles = [await engine.submit(late), await engine.submit(soon)]
    await cluster.slurm('sbatch', '--uid=nobody', '--chdir=/', '--output=/dev/null', '--gres=gpu:1', '--wrap=true')
    const queue = await vi.waitFor(
      async () => {
        const entries = (await engine.scheduler?.queue()) ?? []
        expect(entries).toHaveLength(3)
        expect(entries.filter(({ estimatedStart }) => estimatedStart !== null).length).toBeGreaterThan(0)
        return entries
      },
      { timeout: minute, interval: 200 },
    )
    expect(queue.map(({ attempt }) => attempt?.jobId ?? null)).toEqual([null, soon.jobId, late.jobId])
    for (const entry of queue) expect(entry).toMatchObject({ queue: 'main', waitsFor: expect.stringMatching(/^(PRIORITY|RESOURCES)$/) })
    const forecast = await engine.scheduler?.forecast(all)
    expect(forecast).toMatchObject({ start: expect.any(Date), reason: 'Resources' })
    expect(await engine.scheduler?.forecast(schedulingOf({ queue: 'none' }))).toMatchObject({ start: null, reason: /partition/ })
    await Promise.all([engine.signal(soon, handles[1] as EngineHandle, 'kill'), engine.signal(late, handles[0] as EngineHandle, 'kill')])
    await engine.signal(holder, held, 'kill')
    await told.ended(holder.jobId)
  })

  it('names its partitions, the default one first', async () => {
    const queues = (await engine.scheduler?.queues()) ?? []
    expect(queues.map(({ name, isDefault, open, runSecondsMax }) => [name, isDefault, open, runSecondsMax])).toEqual([
      ['main', true, true, null],
      ['spare', false, true, null],
      ['short', false, true, 300],
    ])
    expect(queues[2]?.nodeIds).toEqual(['gpu04'])
  })

  it('lets the folder speak where Slurm has forgotten a job', async () => {
    const order = attemptOf('process.exit(4)')
    const handle = await engine.submit(order)
    await told.ended(order.jobId)
    await endOfLife()
    nextLife()
    await engine.reattach(order, { ...handle, slurm_job_id: 999_999 })
    const { time: endedAt, ...end } = await told.ended(order.jobId)
    expect(end).toMatchObject({ exitCode: 4, lost: false })
    const { time: startedAt, placement } = await heard(order, 'started')
    expect(startedAt.getTime()).toBeLessThanOrEqual(endedAt.getTime())
    expect(placement).toMatchObject([{ nodeId: expect.stringMatching(/^gpu0\d$/) }])
    // While the shared folder is away nothing is known of an attempt, but that it cannot be reached.
    const away = attemptOf('', { jobId: `${order.jobId}-away`, directory: order.directory })
    renameSync(order.directory, `${order.directory}-unmounted`)
    await engine.reattach(away, { ...handle, slurm_job_id: 999_997 })
    expect(await heard(away, 'unreachable')).toMatchObject({ unreachable: true, reason: expect.stringContaining('ENOENT') })
    renameSync(`${order.directory}-unmounted`, order.directory)
    expect(await told.ended(away.jobId)).toMatchObject({ exitCode: 4, lost: false })
    const gone = attemptOf('')
    await engine.reattach(gone, { ...handle, slurm_job_id: 999_998 })
    expect(await told.ended(gone.jobId)).toMatchObject({ exitCode: null, lost: true })
  })

  it('starts nothing twice where the coordinator died after sbatch, before it stored the handle', async () => {
    const order = attemptOf(prints)
    const handle = await engine.submit(order)
    await endOfLife()
    nextLife()
    expect(await engine.submit(order)).toEqual(handle)
    const listed = await cluster.slurm('squeue', '--noheader', '--states=all', `--name=scaimind-${order.jobId}-1`)
    expect(listed.trim().split('\n')).toHaveLength(1)
    await untilWritten(order, 'running.0')
    await engine.signal(order, handle, 'stop')
    expect(await told.ended(order.jobId)).toMatchObject({ exitCode: 85 })
  })

  /** Submits in a life that dies while its `sbatch` is on its way, and answers when that has arrived. */
  async function submitLate(order: AttemptOrder): Promise<{ arrived: Promise<unknown> }> {
    const slow = mkdtempSync(join(tmpdir(), 'scaimind-commands-'))
    onTestFinished(() => rmSync(slow, { recursive: true }))
    const wrapper = `#!/bin/bash\n: > ${slow}/begun\nwhile [ ! -e ${slow}/go ]; do sleep 0.1; done\n/usr/bin/sbatch "$@"\n: > ${slow}/arrived\n`
    writeFileSync(join(slow, 'sbatch'), wrapper, { mode: 0o755 })
    const dying = slurmEngine({ conf: cluster.conf, commandsPath: `${slow}:/usr/bin:/bin` })
    dying.submit(order).catch(() => {})
    const seen = (name: string) => vi.waitFor(() => expect(existsSync(join(slow, name))).toBe(true), { timeout: minute, interval: 20 })
    await seen('begun')
    await dying.close()
    return {
      get arrived() {
        writeFileSync(join(slow, 'go'), '')
        return seen('arrived')
      },
    }
  }
  const statesOf = async ({ jobId }: AttemptOrder) =>
    (await cluster.slurm('squeue', '--noheader', '--states=all', '--sort=i', '--format=%T', `--name=scaimind-${jobId}-1`))
      .trim()
      .split('\n')

  it('runs a trainer once where an sbatch of an earlier life arrives after the one that was sent in its stead', async () => {
    const order = attemptOf(prints)
    const late = await submitLate(order)
    const handle = await engine.submit(order)
    await untilWritten(order, 'running.0')
    await late.arrived
    await vi.waitFor(async () => expect((await statesOf(order)).sort()).toEqual([expect.stringMatching(/CANCELLED|FAILED/), 'RUNNING']), {
      timeout: minute,
    })
    await engine.signal(order, handle, 'stop')
    expect(await told.ended(order.jobId)).toMatchObject({ exitCode: 85, lost: false })
  })

  it('runs nothing of a submission that arrives after it was said that there is none', async () => {
    const order = attemptOf(prints)
    const late = await submitLate(order)
    expect(await engine.reattach(order, null)).toBeNull()
    await late.arrived
    await vi.waitFor(async () => expect(await statesOf(order)).toEqual(['FAILED']), { timeout: minute })
    expect(existsSync(join(order.directory, 'launcher.json'))).toBe(false)
  })

  it('runs nothing of an attempt again that has ended, though an administrator has Slurm run it', async () => {
    const order = attemptOf('process.exit(4)')
    const handle = await engine.submit(order)
    await told.ended(order.jobId)
    await cluster.slurm('scontrol', 'requeue', String(handle.slurm_job_id))
    await vi.waitFor(async () => expect(await show(handle)).toMatch(/JobState=FAILED.*Restarts=1/), { timeout: minute, interval: 200 })
    expect(existsSync(inNext(order, 2).directory)).toBe(false)
  })

  it('learns of a requeue that happened while nobody watched', async () => {
    const order = attemptOf(prints)
    const handle = await engine.submit(order)
    await untilWritten(order, 'running.0')
    await endOfLife()
    await cluster.slurm('scontrol', 'requeue', String(handle.slurm_job_id))
    const second = inNext(order, 2)
    await untilWritten(second, 'running.0')
    nextLife()
    await engine.reattach(order, handle)
    const requeued = await heard(order, 'requeued')
    const { token } = JSON.parse(await untilWritten(second, 'launch.json'))
    expect(requeued).toMatchObject({ next: { number: 2, directory: second.directory }, handle, token, end: { lost: false } })
    const { time: nextBegan } = JSON.parse(await untilWritten(second, 'launcher.json'))
    expect(requeued.end.time.getTime()).toBeLessThanOrEqual(Date.parse(nextBegan))
    await heard(order, 'started', 2)
    await engine.signal(second, requeued.handle, 'stop')
    expect(await heard(order, 'ended', 2)).toMatchObject({ exitCode: 85 })
  })

  it(
    'goes on where a node died under a job: Slurm requeues it, and the old copy writes nothing more',
    async () => {
      const needs = { gpuCount: 1, nodeSelector: { feature: 'right' } }
      const order = attemptOf(prints, { scheduling: schedulingOf({}, needs) })
      const handle = await engine.submit(order)
      const { placement } = await heard(order, 'started')
      const node = placement?.[0]?.nodeId ?? ''
      const oldCopy = Number(await untilWritten(order, 'running.0'))
      await cluster.killNode(node)
      expect(isAlive(oldCopy)).toBe(true)
      const requeued = await heard(order, 'requeued')
      expect(requeued).toMatchObject({ next: { number: 2 }, end: { lost: true, verdict: { cause: 'NODE_FAILED' } } })
      const second = inNext(order, 2)
      const { placement: next } = await heard(order, 'started', 2)
      expect(next?.[0]?.nodeId).not.toBe(node)
      await untilWritten(second, 'running.0')
      await vi.waitFor(() => expect(isAlive(oldCopy)).toBe(false), { timeout: minute })
      await untilWritten(second, 'logs.0.jsonl')
      const begun = logLines(second)[0]?.time ?? ''
      expect(logLines(order).filter(({ time }) => time > begun)).toEqual([])
      expect(existsSync(join(order.directory, 'exit.json'))).toBe(false)
      await engine.signal(second, requeued.handle, 'stop')
      expect(await heard(order, 'ended', 2)).toMatchObject({ exitCode: 85 })
      expect((await engine.nodes()).find(({ nodeId }) => nodeId === node)?.online).toBe(false)
      await cluster.startNode(node)
      expect(handle).toEqual(requeued.handle)
    },
    2 * minute,
  )

  it(
    'follows jobs over an absence of Slurm’s controller, and waits with submissions',
    async () => {
      const order = attemptOf(prints)
      const handle = await engine.submit(order)
      await untilWritten(order, 'running.0')
      expect((await engine.nodes()).length).toBe(4)
      await cluster.stopController()
      const later = attemptOf('')
      const submitting = engine.submit(later)
      expect(await heard(order, 'unreachable')).toMatchObject({ unreachable: true, reason: expect.stringContaining('squeue') })
      expect((await engine.nodes()).length).toBe(4)
      await cluster.startController()
      await vi.waitFor(
        () => {
          const reach = told.events.filter((event) => event.type === 'unreachable' && event.attempt.jobId === order.jobId)
          expect(reach.at(-1)).toMatchObject({ unreachable: false })
        },
        { timeout: minute },
      )
      await submitting
      expect(await told.ended(later.jobId)).toMatchObject({ exitCode: 0 })
      await engine.signal(order, handle, 'stop')
      expect(await told.ended(order.jobId)).toMatchObject({ exitCode: 85 })
    },
    2 * minute,
  )
})
