import { z } from 'zod'
import { parseCursor } from '../../contract/cursor.js'
import { parseJobId } from '../../contract/ids.js'
import { fromTimestamp } from '../../contract/proto.js'
import { isTerminal, type JobStatus, type LogLevel, logLevels } from '../../contract/statuses.js'
import type { JobEvent__Output } from '../../generated/proto/scaimind/v1/JobEvent.js'
import type { LogRecord__Output } from '../../generated/proto/scaimind/v1/LogRecord.js'
import type { MetricRecord__Output } from '../../generated/proto/scaimind/v1/MetricRecord.js'
import type { Caller } from '../auth/viewer.js'
import { allow } from '../auth/who-may.js'
import type { LiveItem } from '../live/hub.js'
import { leaving, liveStream, mapLive } from '../live/live-stream.js'
import { thinStream } from '../live/thin.js'
import { checkFilter, matchesFilter } from './job-filter.js'
import type { JobParts } from './job-parts.js'
import type { JobOperations, JobUpdate, JobView, Live, LiveMessage } from './job-types.js'
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
  const closing = new AbortController().signal

  /** The job's id, where it is the tenant's; the coordinator is asked only for one that the cache does not know yet. */
  async function ownJob(caller: Caller, id: string): Promise<string> {
    allow(caller.viewer, 'followJobs')
    const job_id = parseJobId(id)
    if (!(await cache.get(caller.viewer.tenantId, job_id))) await coordinator.call('GetJob', { job_id }, contextOf(caller))
    return job_id
  }

  const readingOf = ({ viewer, requestId }: Caller, jobId: string, after: string) => ({
    tenantId: viewer.tenantId,
    jobId,
    after,
    requestId,
    ended: viewer.ended,
  })

  const eventReadingOf = ({ viewer, requestId }: Caller, jobId: string) => ({
    tenantId: viewer.tenantId,
    jobId,
    requestId,
    ended: viewer.ended,
  })

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
      const live = messages(metricsHub.follow(readingOf(caller, jobId, wanted.after)), choose)
      const timeOf = ({ time }: MetricRecord__Output) => fromTimestamp(time)?.getTime() ?? 0
      return wanted.max_per_second ? thinStream(live, { maxPerSecond: wanted.max_per_second, timeOf }) : live
    },

    async followLogs(caller, id, { level, rank, after, tail, follow } = {}) {
      allow(caller.viewer, 'followJobs')
      const wanted = parseInput(logsSchema, { level, rank, after, tail, follow })
      const jobId = await ownJob(caller, id)
      if (wanted.after) parseCursor(wanted.after, 'logs', jobId)
      const filter = { level: wanted.level, rank: wanted.rank }
      const choose = (record: LogRecord__Output) => (isWanted(record, filter) ? record : null)
      const page = (from: string, limit: number, from_end: boolean) =>
        coordinator.call('ReadJobLogs', { job_id: jobId, after: from, limit, from_end, ...filter }, contextOf(caller))

      async function* read(signal: AbortSignal): AsyncGenerator<LiveMessage<LogRecord__Output>, void, undefined> {
        let from = wanted.after
        if (!from && wanted.tail !== undefined) {
          const { records, end_cursor } = await page('', Math.max(1, wanted.tail), true)
          const shown = wanted.tail === 0 ? [] : records
          from = end_cursor || records.at(-1)?.cursor || ''
          if (shown.length > 0) yield batchOf(shown)
          if (!wanted.follow) return
        }
        if (wanted.follow) {
          yield* leaving(signal, messages(logsHub.follow(readingOf(caller, jobId, from)), choose))
          return
        }
        while (!signal.aborted) {
          const { records, has_more, end_cursor } = await page(from, 500, false)
          if (records.length > 0) yield batchOf(records)
          const next = end_cursor || records.at(-1)?.cursor || from
          if (!has_more || next === from) return
          from = next
        }
      }
      return liveStream(read, { ended: caller.viewer.ended, closing })
    },

    async followJob(caller, id, { after } = {}) {
      const jobId = await ownJob(caller, id)
      const reading = eventReadingOf(caller, jobId)
      if (after) parseCursor(after, 'events', reading.tenantId)

      async function* read(signal: AbortSignal): AsyncGenerator<JobUpdate, void, undefined> {
        // Taken before the job is read: a change in between is told twice rather than not at all.
        const here = events.here(reading.tenantId)
        const now = await current(caller, jobId)
        if (!after) yield { cursor: here, event: null, job: now }
        if (isTerminal(now.job.status as JobStatus)) {
          if (after) yield* leaving(signal, mapLive(events.followToEnd({ ...reading, after }), updateOf))
          return
        }
        const live = events.follow({ ...reading, after: after || here || undefined, matches: (event) => event.job_id === jobId })
        for await (const event of leaving(signal, live)) {
          yield updateOf(event)
          if (await isOver(caller, event)) return
        }
      }
      return liveStream(read, { ended: caller.viewer.ended, closing })
    },

    async followJobEvents(caller, id, { after } = {}) {
      const jobId = await ownJob(caller, id)
      return events.followToEnd({ ...eventReadingOf(caller, jobId), after: after || undefined })
    },

    async followJobs(caller, { filter, after } = {}) {
      allow(caller.viewer, 'followJobs')
      checkFilter(filter ?? {})
      const { tenantId, ended } = caller.viewer
      const matches = matchesFilter(filter ?? {})
      const stream = events.follow({ tenantId, after: after || undefined, requestId: caller.requestId, ended, matches })
      return mapLive(stream, updateOf)
    },
  }

  async function current(caller: Caller, jobId: string): Promise<JobView> {
    const cached = await cache.get(caller.viewer.tenantId, jobId)
    if (cached) return { ...cached, stale: !isFresh() }
    return { job: await coordinator.call('GetJob', { job_id: jobId }, contextOf(caller)), syncedAt: new Date(), stale: false }
  }

  /** Whether nothing follows: the job is gone, or terminal and not retried since. */
  async function isOver(caller: Caller, { type, to_status, job, job_id }: JobEvent__Output): Promise<boolean> {
    if (type === 'DELETED') return true
    if (!isTerminal(to_status as JobStatus)) return false
    const newest = await cache.get(caller.viewer.tenantId, job_id)
    return !newest || BigInt(newest.job.revision) <= BigInt(job?.revision ?? 0)
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

/** Groups what a hub tells into messages, leaving out the records that the reader did not ask for. */
function messages<Item extends { cursor: string }>(
  live: Live<LiveItem<Item>[]>,
  choose: (record: Item) => Item | null,
): Live<LiveMessage<Item>> {
  const waiting: LiveMessage<Item>[] = []
  return {
    [Symbol.asyncIterator]() {
      return this
    },
    async next() {
      for (;;) {
        const ready = waiting.shift()
        if (ready) return { done: false, value: ready }
        const { done, value } = await live.next()
        if (done) return { done: true, value: undefined }
        for (const item of value) {
          if (item.type !== 'record') {
            waiting.push(item)
            continue
          }
          const record = choose(item.record)
          if (!record) continue
          const open = waiting.at(-1)
          if (open?.type === 'batch') {
            open.records.push(record)
            open.cursor = item.cursor
          } else waiting.push(batchOf([record]))
        }
      }
    },
    return: () => live.return() as Promise<IteratorResult<LiveMessage<Item>, undefined>>,
  }
}
