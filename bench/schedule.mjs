// The local engine's policy: how long a pass takes by the length of the queue, and what a day of a published trace's shape comes to under it and under plain
// first-come first-served.
//
// The shape is that of Helios (Hu et al., "Characterization and Prediction of Deep Learning Workloads in Large-Scale GPU Datacenters", SC '21), whose figures
// over 1,580,464 GPU jobs of six months are in S-Lab-System-Group/HeliosArtifact, analysis/1_…/helios_cluster_summary.csv: a job runs 6,652 s on average and 206 s
// at the median, which a log-normal distribution with sigma 2.64 does; it takes 3.7 GPUs on average and 1 at the median. GPU counts are powers of two with the
// weights below, whose mean that is. How arrivals go over the hours of a day, and how much few users ask for, are assumptions of ours.
import { placeJobs } from '../dist/coordinator/jobs/placement/place.js'
import { Room } from '../dist/coordinator/jobs/placement/room.js'

const nodes = 1000
/** As many as Saturn, the largest cluster of the trace, has GPUs for. */
const nodesOfDay = Number(process.env.BENCH_NODES ?? 260)
const gpusPerNode = 8
const lengths = [1000, 10_000, 100_000]
const passes = Number(process.env.BENCH_PASSES ?? 7)
const tenantsOfDay = 20
const medianSeconds = 206
const sigma = Math.sqrt(2 * Math.log(6652 / 206))
const gpuWeights = [
  [1, 0.64],
  [2, 0.1],
  [4, 0.085],
  [8, 0.125],
  [16, 0.03],
  [32, 0.016],
  [64, 0.004],
]
const hourWeights = [5, 4, 3, 2, 2, 2, 3, 4, 6, 9, 10, 10, 7, 8, 10, 10, 10, 9, 7, 8, 9, 9, 8, 7]
/** GPU seconds that jobs could run before the day is over, of those that the cluster has: a day on which not all can be served. */
const load = Number(process.env.BENCH_LOAD ?? 1.2)
const tickSeconds = 60
const daySeconds = 86_400
const start = Date.UTC(2030, 0, 1)

/** Figures of the passes and of the day. */
export async function measure() {
  return { ...measurePasses(), ...measureDay() }
}

function measurePasses() {
  const medians = lengths.map((length) => {
    const random = generator(length)
    const { machines, running } = fullCluster(random)
    const queue = Array.from({ length }, (_, index) => aJob(random, { index, tenants: 100, at: start + index }))
    const situation = { machines, running, queue, ...rules, usage: new Map(), now: new Date(start + 3_600_000) }
    placeJobs(situation)
    const times = Array.from({ length: passes }, () => {
      const began = performance.now()
      placeJobs(situation)
      return performance.now() - began
    })
    return times.sort((a, b) => a - b)[Math.floor(passes / 2)]
  })
  return {
    ...Object.fromEntries(lengths.map((length, index) => [`ms_${length}`, round(medians[index], 1)])),
    exponent: round(slope(lengths.map(Math.log), medians.map(Math.log)), 3),
  }
}

/** Nine of ten GPUs are held by single-GPU jobs that end at some time, as a cluster with a queue has it. */
function fullCluster(random) {
  const machines = emptyMachines(nodes)
  const running = []
  for (const machine of machines) {
    for (const gpu of machine.gpus) {
      if (random() > 0.9) continue
      const placement = [{ nodeId: machine.nodeId, gpuIndexes: [gpu.index], cpus: 0, memoryBytes: 0 }]
      running.push(
        aRun(
          { jobId: `run_${machine.nodeId}_${gpu.index}`, tenantId: `t${Math.floor(random() * 100)}`, placement },
          start,
          random() * 86_400,
        ),
      )
    }
    hold(
      machine,
      running.slice(-gpusPerNode).filter(({ placement }) => placement[0].nodeId === machine.nodeId),
    )
  }
  return { machines, running }
}

function measureDay() {
  const jobs = aDay(generator(42))
  const fair = simulate(jobs, fairly)
  const plain = simulate(jobs, firstComeFirstServed)
  return {
    jobs_of_the_day: jobs.length,
    jain: round(jain(fair), 3),
    jain_fcfs: round(jain(plain), 3),
    utilization: round(fair.utilization, 3),
    utilization_fcfs: round(plain.utilization, 3),
    median_wait_s: round(fair.medianWait, 0),
    median_wait_s_fcfs: round(plain.medianWait, 0),
  }
}

/** Jobs until they ask for the load: tenant k asks for about 1/k as many as the first. */
function aDay(random) {
  const jobs = []
  let asked = 0
  const all = nodesOfDay * gpusPerNode * daySeconds * load
  while (asked < all) {
    const job = aJob(random, { index: jobs.length, tenants: tenantsOfDay, at: start + arrival(random) * 1000, isSkewed: true })
    // Whoever sets a limit sets it high.
    jobs.push({ ...job, runSecondsMax: Math.ceil(job.seconds * (1 + 2 * random())) })
    asked += couldRun(job)
  }
  return jobs.sort((a, b) => a.queuedAt - b.queuedAt)
}

/** Plays the day minute by minute. */
function simulate(jobs, pass) {
  const machines = emptyMachines(nodesOfDay)
  const byNode = new Map(machines.map((machine) => [machine.nodeId, machine]))
  const had = new Map()
  const waits = []
  let queue = []
  let running = []
  let next = 0
  let usedSeconds = 0
  for (let now = start; now < start + daySeconds * 1000; now += tickSeconds * 1000) {
    running = running.filter((job) => {
      const ends = job.startedAt.getTime() + job.seconds * 1000 > now
      if (!ends) release(byNode, job)
      return ends
    })
    while (next < jobs.length && jobs[next].queuedAt.getTime() <= now) queue.push(jobs[next++])
    const placed = pass({ queue, machines, running, now, had })
    for (const [job, placement] of placed) {
      const run = { ...aRun({ jobId: job.jobId, tenantId: job.tenantId, placement }, now, job.runSecondsMax), seconds: job.seconds }
      running.push(run)
      waits.push((now - job.queuedAt.getTime()) / 1000)
      occupy(byNode, run)
    }
    const started = new Set(placed.map(([job]) => job.jobId))
    if (started.size > 0) queue = queue.filter(({ jobId }) => !started.has(jobId))
    for (const job of running) {
      had.set(job.tenantId, (had.get(job.tenantId) ?? 0) + job.gpuCount * tickSeconds)
      usedSeconds += job.gpuCount * tickSeconds
    }
  }
  waits.push(...queue.map(({ queuedAt }) => (start + daySeconds * 1000 - queuedAt.getTime()) / 1000))
  waits.sort((a, b) => a - b)
  const utilization = usedSeconds / (nodesOfDay * gpusPerNode * daySeconds)
  return { had, utilization, medianWait: waits[Math.floor(waits.length / 2)], asked: askedBy(jobs) }
}

function askedBy(jobs) {
  const asked = new Map()
  for (const job of jobs) asked.set(job.tenantId, (asked.get(job.tenantId) ?? 0) + couldRun(job))
  return asked
}

/** GPU seconds of a job before the day is over, if it started as it came. */
const couldRun = ({ needs, seconds, queuedAt }) => needs.gpuCount * Math.min(seconds, daySeconds - (queuedAt.getTime() - start) / 1000)

/**
 * Jain's index over tenants of what each had against its fair part: what max-min fairness would have given it of the GPU seconds that all had together, at most what it
 * could have used.
 */
function jain({ had, asked }) {
  const parts = maxMin(
    asked,
    [...had.values()].reduce((total, each) => total + each, 0),
  )
  const shares = [...parts].map(([tenantId, part]) => (had.get(tenantId) ?? 0) / part)
  const sum = shares.reduce((total, share) => total + share, 0)
  return sum ** 2 / (shares.length * shares.reduce((total, share) => total + share ** 2, 0))
}

function maxMin(asked, capacity) {
  const parts = new Map()
  let left = capacity
  for (const [index, [tenantId, wish]] of [...asked].sort((a, b) => a[1] - b[1]).entries()) {
    const part = Math.min(wish, left / (asked.size - index))
    parts.set(tenantId, part)
    left -= part
  }
  return parts
}

/** The policy. What tenants had fades within days, so not within this one. */
function fairly({ queue, machines, running, now, had }) {
  const held = new Map()
  for (const { tenantId, gpuCount } of running) held.set(tenantId, (held.get(tenantId) ?? 0) + gpuCount * 3600)
  const usage = new Map(
    [...new Set([...had.keys(), ...held.keys()])].map((tenantId) => [
      tenantId,
      { gpusHeld: 0, holders: [], gpuHoursMonth: 0, shareSeconds: (had.get(tenantId) ?? 0) + (held.get(tenantId) ?? 0) },
    ]),
  )
  const byId = new Map(queue.map((job) => [job.jobId, job]))
  return placeJobs({ queue, machines, running, usage, now: new Date(now), ...rules }).flatMap(({ jobId, placement }) =>
    placement ? [[byId.get(jobId), placement]] : [],
  )
}

/** By arrival; the first that has no room holds back all behind it. */
function firstComeFirstServed({ queue, machines }) {
  const room = new Room(machines)
  const placed = []
  for (const job of queue) {
    const placement = room.find(job.needs)
    if (!placement) break
    room.take(placement)
    placed.push([job, placement])
  }
  return placed
}

const rules = {
  limitsOf: () => ({ jobs: 0, queued: 0, gpus: 0, gpuHoursMonth: 0, weight: 1, overQuota: 'wait' }),
  preemption: { minRuntimeMs: 120_000, evictionsMax: 2 },
  promised: new Set(),
}

function aJob(random, { index, tenants, at, isSkewed = false }) {
  const gpuCount = pick(gpuWeights, random())
  const tenant = isSkewed ? Math.floor(tenants ** random()) - 1 : Math.floor(random() * tenants)
  const seconds = Math.min(50 * daySeconds, Math.max(1, medianSeconds * Math.exp(sigma * normal(random))))
  return {
    jobId: `job_${String(index).padStart(7, '0')}`,
    tenantId: `t${Math.min(tenants - 1, tenant)}`,
    name: '',
    queue: 'default',
    priority: 5,
    queuedAt: new Date(at),
    notBefore: null,
    dependencies: [],
    needs: {
      gpuCount,
      gpuType: '',
      nodes: Math.max(1, gpuCount / gpusPerNode),
      gpuMemoryBytesMin: 0,
      cpusPerNode: 1,
      memoryBytesPerNode: 0,
      nodeSelector: {},
    },
    runSecondsMax: random() < 0.5 ? Math.ceil(seconds * 2) : null,
    seconds,
  }
}

function aRun({ jobId, tenantId, placement }, now, limitSeconds) {
  const gpuCount = placement.reduce((sum, { gpuIndexes }) => sum + gpuIndexes.length, 0)
  const startedAt = new Date(now)
  const endsAt = limitSeconds === null ? null : new Date(now + limitSeconds * 1000)
  const rest = { priority: 5, preemptible: false, savedAt: null, leaving: false, evictionsLately: 0 }
  return { jobId, tenantId, placement, share: gpuCount, gpuCount, startedAt, endsAt, ...rest }
}

const emptyMachines = (count) =>
  Array.from({ length: count }, (_, index) => ({
    nodeId: `node${String(index).padStart(4, '0')}`,
    hostname: '',
    takesWork: true,
    draining: false,
    gpus: Array.from({ length: gpusPerNode }, (__, gpu) => ({ index: gpu, type: 'v100', memoryBytes: 32e9, free: true })),
    cpus: 64,
    cpusFree: 64,
    memoryBytes: 256e9,
    memoryBytesFree: 256e9,
    holders: [],
  }))

function hold(machine, jobs) {
  for (const { jobId, tenantId, placement } of jobs) {
    for (const { nodeId, gpuIndexes, cpus, memoryBytes } of placement) {
      if (nodeId !== machine.nodeId) continue
      for (const index of gpuIndexes) machine.gpus[index].free = false
      machine.holders.push({ jobId, tenantId, gpuIndexes, cpus, memoryBytes })
    }
  }
}

function occupy(byNode, job) {
  for (const { nodeId } of job.placement) hold(byNode.get(nodeId), [job])
}

function release(byNode, { jobId, placement }) {
  for (const { nodeId, gpuIndexes } of placement) {
    const machine = byNode.get(nodeId)
    for (const index of gpuIndexes) machine.gpus[index].free = true
    machine.holders = machine.holders.filter((holder) => holder.jobId !== jobId)
  }
}

function arrival(random) {
  const hour = pick(
    hourWeights.map((weight, index) => [index, weight / hourWeights.reduce((sum, each) => sum + each, 0)]),
    random(),
  )
  return (hour + random()) * 3600
}

function pick(weights, at) {
  let sum = 0
  for (const [value, weight] of weights) {
    sum += weight
    if (at < sum) return value
  }
  return weights.at(-1)[0]
}

const normal = (random) => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random())

/** The same numbers from the same seed (mulberry32). */
function generator(seed) {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }
}

/** Least squares. */
function slope(xs, ys) {
  const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length
  const [x, y] = [mean(xs), mean(ys)]
  return xs.reduce((sum, each, index) => sum + (each - x) * (ys[index] - y), 0) / xs.reduce((sum, each) => sum + (each - x) ** 2, 0)
}

const round = (value, digits) => Number(value.toFixed(digits))
