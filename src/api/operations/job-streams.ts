import { z } from 'zod'
import { parseCursor } from '../../contract/cursor.js'
import { parseJobId } from '../../contract/ids.js'
import { isTerminal, type JobStatus, type LogLevel, logLevels } from '../../contract/statuses.js'
import type { JobEvent__Output } from '../../generated/proto/scaimind/v1/JobEvent.js'
import type { LogRecord__Output } from '../../generated/proto/scaimind/v1/LogRecord.js'
import type { MetricRecord__Output } from '../../generated/proto/scaimind/v1/MetricRecord.js'
import type { Caller } from '../auth/viewer.js'
import { allow } from '../auth/who-may.js'
import { mapFeed, startingWith } from '../live/feed.js'
import { feedOf } from '../live/generated-feed.js'
import type { LiveMessage } from '../live/record-kind.js'
import { checkFilter, matchesFilter } from './job-filter.js'
import type { JobParts } from './job-parts.js'
import type { JobOperations, JobUpdate, JobView } from './job-types.js'
import { parseInput } from './parse.js'

const metricsSchema = z.object({
  names: z.array(z.string().min(1).max(128)).max(100).default([]),
  after: z.string().default(''),
  max_per_second: z.number().int().min(1).max(1000).optional(),
})

const logsSchema = z.object({
  level: z.enum(logLevels).optional(),
  rank: z.number().int().min(0).optional(),
  after: z.string().default(''),
  tail: z.number().int().min(0).max(1000).optional(),
  follow: z.boolean().default(true),
})

type Streams = Pick<JobOperations, 'followMetrics' | 'followLogs' | 'followJob' | 'followJobEvents' | 'followJobs'>

/** Live streams. A job must be the tenant's before anything of it is opened. */
export function jobStreams({ cache, coordinator, metricsHub, logsHub, events, isFresh }: JobParts): Streams {
  const contextOf = ({ viewer, requestId }: Caller) => ({ tenantId: viewer.tenantId, userId: viewer.userId, requestId })
  const readingOf = ({ viewer, requestId }: Caller, jobId: string) => ({ tenantId: viewer.tenantId, jobId, requestId })

  // A thousand readers who come back at once ask once.
  const asked = new Map<string, Promise<void>>()

  /** The job's id, where it is the tenant's; the coordinator is asked only for one that the cache does not know yet. */
  async function ownJob(caller: Caller, id: string): Promise<string> {
    allow(caller.viewer, 'followJobs')
    const job_id = parseJobId(id)
    const key = `${caller.viewer.tenantId}/${job_id}`
    const asking = asked.get(key) ?? askFor(caller, job_id).finally(() => asked.delete(key))
    asked.set(key, asking)
    await asking
    return job_id
  }

  async function askFor(caller: Caller, job_id: string): Promise<void> {
    if (!(await cache.get(caller.viewer.tenantId, job_id))) await coordinator.call('GetJob', { job_id }, contextOf(caller))
  }

  return {
    async followMetrics(caller, id, { names, after, maxPerSecond } = {}) {
      allow(caller.viewer, 'followJobs')
      const wanted = parseInput(metricsSchema, { names, after, max_per_second: maxPerSecond })
      const jobId = await ownJob(caller, id)
      const only = new Set(wanted.names)
      const choose = (record: MetricRecord__Output) => {
        if (only.size === 0) return record
        const values = Object.fromEntries(Object.entries(record.values).filter(([name]) => only.has(name)))
        return Object.keys(values).length > 0 ? { ...record, values } : null
      }
      const reading = { ...readingOf(caller, jobId), after: wanted.after }
      if (!wanted.max_per_second) return mapFeed(metricsHub.follow(reading), chosen(choose))
      const name = JSON.stringify([...only].sort())
      return metricsHub.follow(reading, { maxPerSecond: wanted.max_per_second, choose, name })
    },

    async followLogs(caller, id, { level, rank, after, tail, follow } = {}) {
      allow(caller.viewer, 'followJobs')
      const wanted = parseInput(logsSchema, { level, rank, after, tail, follow })
      const jobId = await ownJob(caller, id)
      if (wanted.after) parseCursor(wanted.after, 'logs', jobId)
      const filter = { level: wanted.level, rank: wanted.rank }
      const page = (from: string, limit: number, from_end: boolean) =>
        coordinator.call('ReadJobLogs', { job_id: jobId, after: from, limit, from_end, ...filter }, contextOf(caller))

      async function* readToEnd(signal: AbortSignal): AsyncGenerator<LiveMessage<LogRecord__Output>, void, undefined> {
        for (let from = wanted.after; !signal.aborted; ) {
          const { records, has_more, end_cursor } = await page(from, 500, false)
          if (records.length > 0) yield batchOf(records)
          const next = end_cursor || records.at(-1)?.cursor || from
          if (!has_more || next === from) return
          from = next
        }
      }
      const followAfter = (from: string) =>
        mapFeed(
          logsHub.follow({ ...readingOf(caller, jobId), after: from }),
          chosen((record: LogRecord__Output) => (isWanted(record, filter) ? record : null)),
        )

      if (wanted.after || wanted.tail === undefined) return wanted.follow ? followAfter(wanted.after) : feedOf(readToEnd)
      const { records, end_cursor } = await page('', Math.max(1, wanted.tail), true)
      const first = wanted.tail > 0 && records.length > 0 ? [batchOf(records)] : []
      return startingWith(first, wanted.follow ? followAfter(end_cursor || records.at(-1)?.cursor || '') : undefined)
    },

    async followJob(caller, id, { after } = {}) {
      const jobId = await ownJob(caller, id)
      const reading = readingOf(caller, jobId)
      if (after) parseCursor(after, 'events', reading.tenantId)
      // Taken before the job is read: a change in between is told twice rather than not at all.
      const place = after || (await events.here(reading.tenantId))
      const now = await current(caller, jobId)
      const first = after ? [] : [{ cursor: place, event: null, job: now }]
      if (!isTerminal(now.job.status as JobStatus)) {
        return startingWith(first, mapFeed(events.follow({ ...reading, after: place }), updateOf))
      }
      return startingWith(first, after ? mapFeed(events.followToEnd({ ...reading, after }), updateOf) : undefined)
    },

    async followJobEvents(caller, id, { after } = {}) {
      const jobId = await ownJob(caller, id)
      const reading = { ...readingOf(caller, jobId), after: after ?? '' }
      const { job } = await current(caller, jobId)
      return isTerminal(job.status as JobStatus) ? events.followToEnd(reading) : events.follow(reading)
    },

    async followJobs(caller, { filter, after } = {}) {
      allow(caller.viewer, 'followJobs')
      checkFilter(filter ?? {})
      const { viewer, requestId } = caller
      const matches = matchesFilter(filter ?? {})
      const changes = events.follow({ tenantId: viewer.tenantId, after: after || undefined, requestId })
      return mapFeed(changes, (event) => (matches(event) ? updateOf(event) : null))
    },
  }

  async function current(caller: Caller, jobId: string): Promise<JobView> {
    const cached = await cache.get(caller.viewer.tenantId, jobId)
    if (cached) return { ...cached, stale: !isFresh() }
    return { job: await coordinator.call('GetJob', { job_id: jobId }, contextOf(caller)), syncedAt: new Date(), stale: false }
  }
}

const updateOf = (event: JobEvent__Output): JobUpdate => ({
  cursor: event.cursor,
  event,
  job: event.job && { job: event.job, syncedAt: new Date(), stale: false },
})

const isWanted = (record: LogRecord__Output, { level, rank }: { level: LogLevel | undefined; rank: number | undefined }) =>
  (!level || logLevels.indexOf(record.level as LogLevel) >= logLevels.indexOf(level)) && (rank === undefined || record.rank === rank)

const batchOf = <Item extends { cursor: string }>(records: Item[]): LiveMessage<Item> => ({
  type: 'batch',
  cursor: records.at(-1)?.cursor ?? '',
  records,
  thinned: 0,
})

/** Leaves the records of a batch that the reader asked for; nothing where there is none. */
const chosen =
  <Item extends { cursor: string }>(choose: (record: Item) => Item | null) =>
  (message: LiveMessage<Item>): LiveMessage<Item> | null => {
    if (message.type !== 'batch') return message
    const records = message.records.flatMap((record) => choose(record) ?? [])
    return records.length > 0 ? { ...message, cursor: records.at(-1)?.cursor ?? '', records } : null
  }
