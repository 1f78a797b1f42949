import { type Cursor, formatCursor, parseCursor } from '../../../contract/cursor.js'
import { InvalidInput } from '../../../contract/failure.js'
import { fromTimestamp, toTimestamp } from '../../../contract/proto.js'
import { isTerminal, type JobStatus, logLevels } from '../../../contract/statuses.js'
import type { GetJobMetricsRequest__Output } from '../../../generated/proto/scaimind/v1/GetJobMetricsRequest.js'
import type { GetJobMetricsResponse__Output } from '../../../generated/proto/scaimind/v1/GetJobMetricsResponse.js'
import type { LogEvent__Output } from '../../../generated/proto/scaimind/v1/LogEvent.js'
import type { MetricEvent__Output } from '../../../generated/proto/scaimind/v1/MetricEvent.js'
import type { ReadJobLogsRequest__Output } from '../../../generated/proto/scaimind/v1/ReadJobLogsRequest.js'
import type { ReadJobLogsResponse__Output } from '../../../generated/proto/scaimind/v1/ReadJobLogsResponse.js'
import type { StreamJobLogsRequest__Output } from '../../../generated/proto/scaimind/v1/StreamJobLogsRequest.js'
import type { StreamJobMetricsRequest__Output } from '../../../generated/proto/scaimind/v1/StreamJobMetricsRequest.js'
import { followLogs, followMetrics, type JournalItem } from '../../journal/follow.js'
import type { MetricAttempt, MetricHistory } from '../../journal/history.js'
import { type LogFilter, matchesLogFilter, parseLogPattern } from '../../journal/log-filter.js'
import { readLogs } from '../../journal/logs.js'
import { type JournalPlace, type LogEntry, type MetricEntry, toLogRecord, toMetricRecord } from '../../journal/records.js'
import type { JobChanges } from '../records/changes.js'
import type { Database } from '../records/database.js'
import { requireJob } from '../records/read.js'
import { type JobRecord, statusOf } from '../records/record.js'
import type { JobStore } from '../records/store.js'
import { journalAttempts, type LiveJob, watchJob } from './watch.js'

/** What reading journals needs. */
export interface JournalsOptions {
  store: JobStore
  database: Database
  changes: JobChanges
  history: MetricHistory
  dataDir: string
}

const tailMax = 1000
const limitMax = 1000
const seriesMax = 20

/** A job's metrics and logs, as history and as they are written. Each throws JOB_NOT_FOUND, CURSOR_INVALID or InvalidInput before its first answer. */
export function jobJournals({ store, database, changes, history, dataDir }: JournalsOptions) {
  const live = (tenantId: string, jobId: string) => watchJob(changes, jobId, () => requireJob(store, tenantId, jobId))
  const newest = async (job: JobRecord) => (await store.find(job.jobId)) ?? job

  return {
    async *streamMetrics(
      tenantId: string,
      request: StreamJobMetricsRequest__Output,
      signal: AbortSignal,
    ): AsyncGenerator<MetricEvent__Output> {
      const { jobId } = await requireJob(store, tenantId, request.job_id)
      const after = placeAfter(request.after, 'metrics', jobId)
      const watch = await live(tenantId, jobId)
      try {
        let last = after
        const names = new Set(request.names)
        const isAsked = (name: string) => names.size === 0 || names.has(name)
        const filter = ({ values }: MetricEntry) => names.size === 0 || Object.keys(values).some(isAsked)
        for await (const item of followMetrics({ dataDir, job: watch.job(), after, watch, signal, filter })) {
          last = lastPlace(item)
          const records = item.type === 'batch' ? item.records.map((entry) => onlyAsked(entry, isAsked)) : []
          const cursor = cursorAt('metrics', jobId, last)
          if (item.type === 'gap') yield { cursor, event: 'gap', gap: toGap('metrics', jobId, item) } as MetricEvent__Output
          else
            yield {
              cursor,
              event: 'batch',
              batch: { records: records.map((entry) => toMetricRecord(jobId, entry)) },
            } as MetricEvent__Output
        }
        if (!signal.aborted) yield { cursor: cursorAt('metrics', jobId, last), event: 'end', end: endOf(watch) } as MetricEvent__Output
      } finally {
        watch.stop()
      }
    },

    async *streamLogs(tenantId: string, request: StreamJobLogsRequest__Output, signal: AbortSignal): AsyncGenerator<LogEvent__Output> {
      const { jobId } = await requireJob(store, tenantId, request.job_id)
      let after = placeAfter(request.after, 'logs', jobId)
      if (request.tail > tailMax) refuse('tail', `At most the last ${tailMax} lines can be asked for, not ${request.tail}.`)
      const filter = logFilter(request)
      const watch = await live(tenantId, jobId)
      const batch = (records: LogEntry[], place: JournalPlace | null) =>
        ({
          cursor: cursorAt('logs', jobId, place),
          event: 'batch',
          batch: { records: records.map((entry) => toLogRecord(jobId, entry)) },
        }) as LogEvent__Output
      try {
        if (request.after === '' && request.tail > 0) {
          const { attempts } = watch.state()
          const page = await readLogs({ dataDir, job: watch.job(), attempts, ...filter, limit: request.tail, fromEnd: true })
          after = page.end
          if (page.records.length > 0) yield batch(page.records, page.records.at(-1) ?? null)
        }
        if (request.follow === false) {
          for (let more = true; more && !signal.aborted; ) {
            const { attempts } = watch.state()
            const page = await readLogs({ dataDir, job: watch.job(), attempts, ...filter, after, limit: 500 })
            after = page.end
            more = page.hasMore
            if (page.records.length > 0) yield batch(page.records, page.records.at(-1) ?? null)
          }
        } else {
          const options = { dataDir, job: watch.job(), after, watch, signal, filter: matchesLogFilter(filter) }
          for await (const item of followLogs(options)) {
            after = lastPlace(item)
            if (item.type === 'batch') yield batch(item.records, after)
            else yield { cursor: cursorAt('logs', jobId, after), event: 'gap', gap: toGap('logs', jobId, item) } as LogEvent__Output
          }
        }
        if (!signal.aborted) yield { cursor: cursorAt('logs', jobId, after), event: 'end', end: endOf(watch) } as LogEvent__Output
      } finally {
        watch.stop()
      }
    },

    async readLogs(tenantId: string, request: ReadJobLogsRequest__Output): Promise<ReadJobLogsResponse__Output> {
      const job = await requireJob(store, tenantId, request.job_id)
      if (request.limit > limitMax) refuse('limit', `A page has 1 to ${limitMax} lines, not ${request.limit}.`)
      if (request.before !== '' && !request.from_end) refuse('before', 'before goes with from_end; use after to read forwards.')
      const page = await readLogs({
        dataDir,
        job,
        attempts: journalAttempts(await newest(job)).filter(({ number }) => number === (request.attempt ?? number)),
        ...logFilter(request),
        ...timeRange(request),
        pattern: parseLogPattern(request.pattern),
        after: placeAfter(request.after, 'logs', job.jobId),
        before: placeAfter(request.before, 'logs', job.jobId),
        limit: request.limit || 100,
        fromEnd: request.from_end,
      })
      return {
        records: page.records.map((entry) => toLogRecord(job.jobId, entry)),
        has_more: page.hasMore,
        end_cursor: cursorAt('logs', job.jobId, page.end),
        scan_spent: page.scanSpent,
        has_earlier: page.hasEarlier,
        start_cursor: page.start === null ? request.before : cursorAt('logs', job.jobId, page.start),
      }
    },

    async metrics(tenantId: string, request: GetJobMetricsRequest__Output): Promise<GetJobMetricsResponse__Output> {
      const job = await requireJob(store, tenantId, request.job_id)
      const { names, max_points: given } = request
      if (names.length > seriesMax) refuse('names', `At most ${seriesMax} metrics can be asked for at once, not ${names.length}.`)
      if (given !== 0 && (given < 2 || given > 2000)) refuse('max_points', `A series has 2 to 2000 points, not ${given}.`)
      const read = await history.read({
        dataDir,
        job,
        attempts: await metricAttempts(job),
        names,
        // Step 0 is a step too: the base model's evaluation.
        ...(Number(request.since_step) > 0 ? { sinceStep: Number(request.since_step) } : {}),
        maxPoints: given || 500,
      })
      return {
        series: read.series.map(({ name, points }) => ({
          name,
          points: points.map(({ step, value, time, attempt }) => ({ step: String(step), value, time: toTimestamp(time), attempt })),
        })),
        latest: read.latest && toMetricRecord(job.jobId, read.latest),
      }
    },
  }

  /** Each attempt with the step that it resumed from. */
  async function metricAttempts({ attempts }: JobRecord): Promise<MetricAttempt[]> {
    const ids = attempts.flatMap(({ fromCheckpoint }) => fromCheckpoint ?? [])
    const rows = ids.length === 0 ? [] : await database.checkpoint.findMany({ where: { checkpointId: { in: ids } } })
    return attempts.map(({ number, fromCheckpoint, gpuSampled }) => {
      const row = rows.find(({ checkpointId }) => checkpointId === fromCheckpoint)
      return { number, gpuSampled, ...(fromCheckpoint === null ? { fromStep: 0 } : row ? { fromStep: Number(row.step) } : {}) }
    })
  }
}

/** Metrics and logs of jobs. */
export type JobJournals = ReturnType<typeof jobJournals>

function placeAfter(after: string, kind: 'metrics' | 'logs', jobId: string): JournalPlace | null {
  if (after === '') return null
  const { attempt, sequence }: Cursor = parseCursor(after, kind, jobId)
  return { attempt: Math.max(1, attempt), sequence }
}

function cursorAt(kind: 'metrics' | 'logs', topic: string, place: JournalPlace | null): string {
  return formatCursor({ kind, topic, attempt: place?.attempt ?? 1, sequence: place?.sequence ?? -1 })
}

function lastPlace(item: JournalItem<JournalPlace>): JournalPlace | null {
  return item.type === 'gap' ? item.to : (item.records.at(-1) ?? null)
}

function toGap(kind: 'metrics' | 'logs', jobId: string, { from, to, reason }: { from: JournalPlace; to: JournalPlace; reason: string }) {
  return { from: cursorAt(kind, jobId, from), to: cursorAt(kind, jobId, to), reason }
}

function endOf(watch: LiveJob): { status: JobStatus; reason: string } {
  const status = statusOf(watch.job())
  return { status, reason: isTerminal(status) ? `The job is ${status}.` : 'All that was there is told.' }
}

function onlyAsked(entry: MetricEntry, isAsked: (name: string) => boolean): MetricEntry {
  return { ...entry, values: Object.fromEntries(Object.entries(entry.values).filter(([name]) => isAsked(name))) }
}

function logFilter({ level, rank }: { level: string; rank?: number | undefined }): LogFilter {
  return { level: logLevels.find((candidate) => candidate === level), rank }
}

function timeRange({ since, until }: Pick<ReadJobLogsRequest__Output, 'since' | 'until'>): Pick<LogFilter, 'since' | 'until'> {
  const range = { since: fromTimestamp(since) ?? undefined, until: fromTimestamp(until) ?? undefined }
  for (const [field, time] of Object.entries(range)) {
    if (time && Number.isNaN(time.getTime())) refuse(field, `${field} is not a time.`)
  }
  if (range.since && range.until && range.until <= range.since) refuse('until', 'until is a time after since.')
  return range
}

function refuse(path: string, message: string): never {
  throw new InvalidInput([{ path, message }], 'INVALID_ARGUMENT')
}
