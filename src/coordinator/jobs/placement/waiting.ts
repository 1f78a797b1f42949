import type { Job } from '../../../generated/prisma/coordinator/client.js'
import type { JobChanges } from '../records/changes.js'
import type { Database } from '../records/database.js'
import { earliestStart, needsOf, runSecondsMax } from '../records/needs.js'
import { specOf } from '../records/record.js'
import type { Spec } from '../records/spec.js'
import type { Waiting } from './place.js'

/** The place of a submission that is no job yet: behind those that came at the same moment. */
export const guestId = '~'

const columns = {
  jobId: true,
  tenantId: true,
  name: true,
  queue: true,
  priority: true,
  spec: true,
  revision: true,
  notBefore: true,
  queuedAt: true,
  createdAt: true,
} as const
type Row = Pick<Job, keyof typeof columns>

/** A waiting job but for where those stand that it depends on. */
interface Known {
  revision: bigint
  waiting: Omit<Waiting, 'dependencies'>
  dependsOn: string[]
}

const readAtOnce = 2000
/** How often the list is compared with the database: a commit whose answer was lost is told by nobody. */
const comparedMs = 60_000

/** The jobs that wait, kept in memory: read once, then held by the changes that this process makes. */
export function waitingJobs({ database, changes, clock }: { database: Database; changes: JobChanges; clock: () => Date }) {
  const known = new Map<string, Known>()
  /** Where jobs stand that others depend on; null: there is no such job. */
  const statuses = new Map<string, string | null>()
  /** Those whose status is being read. */
  const asked = new Set<string>()
  /** The newest revision of each job that was heard of since the last comparison: neither a change that is heard late nor what was read before brings back a job that left. */
  const heard = new Map<string, bigint>()
  let comparedAt = 0
  let preparing: Promise<void> | null = null

  changes.listen('*', ({ job }) => {
    if (statuses.has(job.jobId) || asked.has(job.jobId)) statuses.set(job.jobId, job.status)
    const before = heard.get(job.jobId) ?? known.get(job.jobId)?.revision
    if (before !== undefined && before > job.revision) return
    heard.set(job.jobId, job.revision)
    if (job.status === 'QUEUED') known.set(job.jobId, describe(job))
    else known.delete(job.jobId)
  })

  return {
    /** How many wait, as far as is known without asking. */
    count: () => known.size,

    /** All of them, in no particular order. */
    async list(): Promise<Waiting[]> {
      // One at a time: a list that is made while another is must know as much.
      while (isOld() || unknown().length > 0) {
        preparing ??= prepare().finally(() => {
          preparing = null
        })
        await preparing
      }
      return Array.from(known.values(), ({ waiting, dependsOn }) => {
        const dependencies = dependsOn.length === 0 ? [] : pending(dependsOn, statuses)
        // The same needs object each time: what is derived from it is kept with it.
        return { ...waiting, dependencies }
      })
    },

    /** Has the list read anew: another process may have changed jobs. */
    forget(): void {
      comparedAt = 0
    },
  }

  async function prepare(): Promise<void> {
    if (isOld()) await read()
    await learn(unknown())
  }

  function isOld(): boolean {
    return clock().getTime() - comparedAt >= comparedMs
  }

  /** Jobs that others depend on, and nothing is known of. */
  function unknown(): string[] {
    const ids = new Set<string>()
    for (const { dependsOn } of known.values()) for (const id of dependsOn) if (!statuses.has(id)) ids.add(id)
    return [...ids]
  }

  async function read(): Promise<void> {
    const now = clock().getTime()
    const before = new Map(heard)
    const rows = await database.job.findMany({ where: { status: 'QUEUED' }, select: { jobId: true, revision: true } })
    const waits = new Set(rows.map(({ jobId }) => jobId))
    for (const jobId of known.keys()) if (!waits.has(jobId) && heard.get(jobId) === before.get(jobId)) known.delete(jobId)
    const missing = rows.filter(({ jobId, revision }) => (known.get(jobId)?.revision ?? -1n) < revision)
    for (let from = 0; from < missing.length; from += readAtOnce) {
      const ids = missing.slice(from, from + readAtOnce).map(({ jobId }) => jobId)
      const found = await database.job.findMany({ where: { jobId: { in: ids }, status: 'QUEUED' }, select: columns })
      for (const row of found) if ((heard.get(row.jobId) ?? -1n) <= row.revision) known.set(row.jobId, describe(row))
    }
    for (const [jobId, revision] of before) if (heard.get(jobId) === revision) heard.delete(jobId)
    statuses.clear()
    comparedAt = now
  }

  async function learn(ids: string[]): Promise<void> {
    for (const id of ids) asked.add(id)
    try {
      for (let from = 0; from < ids.length; from += readAtOnce) {
        const part = ids.slice(from, from + readAtOnce)
        const found = await database.job.findMany({ where: { jobId: { in: part } }, select: { jobId: true, status: true } })
        const read = new Map(found.map(({ jobId, status }) => [jobId, status]))
        // Whoever changed meanwhile told so.
        for (const id of part) if (!statuses.has(id)) statuses.set(id, read.get(id) ?? null)
      }
    } finally {
      asked.clear()
    }
  }
}

/** The jobs that wait. */
export type WaitingJobs = ReturnType<typeof waitingJobs>

/** Waiting jobs of some rows as placement needs them. */
export async function describeWaiting(database: Database, jobs: readonly Row[]): Promise<Waiting[]> {
  const described = jobs.map(describe)
  const statuses = await statusesOf(database, [...new Set(described.flatMap(({ dependsOn }) => dependsOn))])
  return described.map(({ waiting, dependsOn }) => ({ ...waiting, dependencies: pending(dependsOn, statuses) }))
}

/** A submission that is no job yet, as if it came now. */
export async function describeGuest(database: Database, { spec, tenantId }: { spec: Spec; tenantId: string }, now: Date): Promise<Waiting> {
  const { queue, depends_on: dependsOn } = spec.scheduling_config
  return {
    jobId: guestId,
    tenantId,
    name: spec.name,
    queue,
    priority: spec.training_config.priority,
    queuedAt: now,
    notBefore: earliestStart(spec, null),
    dependencies: pending(dependsOn, await statusesOf(database, dependsOn)),
    needs: needsOf(spec),
    runSecondsMax: runSecondsMax(spec),
  }
}

function describe({ jobId, tenantId, name, queue, priority, queuedAt, createdAt, notBefore, revision, ...row }: Row): Known {
  const spec = specOf(row)
  return {
    revision,
    waiting: {
      jobId,
      tenantId,
      name,
      queue,
      priority,
      queuedAt: queuedAt ?? createdAt,
      notBefore: earliestStart(spec, notBefore),
      needs: needsOf(spec),
      runSecondsMax: runSecondsMax(spec),
    },
    dependsOn: spec.scheduling_config.depends_on,
  }
}

/** Those that exist and are not COMPLETED. */
function pending(dependsOn: readonly string[], statuses: ReadonlyMap<string, string | null>): { jobId: string; status: string }[] {
  return dependsOn.flatMap((jobId) => {
    const status = statuses.get(jobId) ?? 'COMPLETED'
    return status === 'COMPLETED' ? [] : [{ jobId, status }]
  })
}

async function statusesOf(database: Database, jobIds: string[]): Promise<Map<string, string>> {
  if (jobIds.length === 0) return new Map()
  const rows = await database.job.findMany({ where: { jobId: { in: jobIds } }, select: { jobId: true, status: true } })
  return new Map(rows.map(({ jobId, status }) => [jobId, status]))
}
