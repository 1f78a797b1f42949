import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Logger } from 'pino'
import { parseCursor } from '../../contract/cursor.js'
import { Failure } from '../../contract/failure.js'
import type { JobEvent__Output } from '../../generated/proto/scaimind/v1/JobEvent.js'
import type { FollowedJobs } from '../cache/followed.js'
import type { JobChanges } from '../cache/job-changes.js'
import type { CoordinatorClient } from '../coordinator-client/index.js'
import type { JobEvents } from './job-events.js'
import { changeSignal } from './signal.js'

/** Keeps the cache of jobs up to date. */
export interface JobFollower {
  /** Whether what the cache holds is what the coordinator has now, but for the last second. */
  isFresh(): boolean
  /** Ends the following; resolves when nothing is written any more. */
  stop(): Promise<void>
}

interface Parts {
  coordinator: CoordinatorClient
  followed: FollowedJobs
  events: JobEvents
  /** Told of each event the moment it is received, and when it is in the cache. */
  changes: JobChanges
  log: Logger
}

const context = { tenantId: '*', requestId: 'follow_jobs' }
const batchMax = 200
const pauseMs = 500

/**
 * Follows all tenants' job events: writes each batch to the cache together with the cursor, then tells it to this process's readers. The first start,
 * and a cursor that the coordinator does not know any more, load all jobs anew.
 */
export function followJobs({ coordinator, followed, events, changes, log }: Parts): JobFollower {
  const stop = new AbortController()
  const stopped = once(stop.signal, 'abort').then(() => {
    throw new Failure('COORDINATOR_UNAVAILABLE', 'The following was stopped.')
  })
  stopped.catch(() => {})
  let isStreaming = false
  // This process's own place. The shared cursor is only where it begins: another instance may have moved it past what our readers were told.
  let place: string | undefined

  async function load(): Promise<string> {
    const startedAt = new Date()
    const seen = new Set<string>()
    let cursor = ''
    let token = ''
    do {
      const everything = { include_archived: true, include_evaluations: true }
      const request = { page_size: 100, page_token: token, order_by: 'created_at', ...everything }
      // A coordinator that does not answer does not hold up the end.
      const page = await Promise.race([stopped, coordinator.call('ListJobs', request, context)])
      cursor ||= page.snapshot_cursor
      await followed.load(page.jobs)
      for (const { job_id } of page.jobs) seen.add(job_id)
      token = page.next_page_token
    } while (token)
    await followed.loaded(seen, startedAt, cursor)
    log.info({ jobs: seen.size }, 'loaded all jobs into the cache')
    return cursor
  }

  async function follow(): Promise<void> {
    if (place === undefined) {
      place = (await followed.cursor()) || (await load())
      changes.reloaded(sequenceOf(place))
      events.begin(place)
    }
    const request = { after: place, from_start: place === '' }
    const onConnected = (connected: boolean) => {
      isStreaming = connected
    }
    const leave = new AbortController()
    const signal = AbortSignal.any([stop.signal, leave.signal])
    try {
      const isLast = () => false
      const stream = coordinator.openStream({ method: 'StreamJobEvents', request, context, signal, isLast, onConnected })
      for await (const batch of inBatches(noting(stream), batchMax)) {
        await followed.apply(batch)
        place = batch.at(-1)?.cursor ?? place
        changes.applied(sequenceOf(place ?? ''))
        events.publish(batch)
      }
    } finally {
      // What was received and not applied comes again.
      changes.stalled()
      leave.abort()
    }
  }

  async function* noting(stream: AsyncGenerator<JobEvent__Output, void, undefined>) {
    for await (const event of stream) {
      changes.received(event.tenant_id, Number(event.sequence))
      yield event
    }
  }

  async function run(): Promise<void> {
    while (!stop.signal.aborted) {
      try {
        await follow()
      } catch (error) {
        isStreaming = false
        const code = error instanceof Failure ? error.code : 'INTERNAL_ERROR'
        if (code === 'CURSOR_EXPIRED' || code === 'CURSOR_INVALID') {
          log.warn({ code }, 'the cache is loaded anew: the coordinator does not know its cursor')
          place = await load().catch(() => undefined)
          if (place !== undefined) {
            changes.reloaded(sequenceOf(place))
            events.begin(place)
          }
        } else if (code === 'COORDINATOR_UNAVAILABLE' || code === 'DATABASE_UNAVAILABLE') {
          log.debug({ code }, 'cannot follow jobs now')
        } else {
          log.error({ err: error, code }, 'cannot follow jobs')
        }
        await sleep(pauseMs * (0.5 + Math.random()), undefined, { signal: stop.signal }).catch(() => {})
      }
    }
  }

  const running = run()
  return {
    isFresh: () => isStreaming && coordinator.isReady(),
    async stop() {
      stop.abort()
      await running
    },
  }
}

const sequenceOf = (cursor: string): number => (cursor ? parseCursor(cursor, 'events', '*').sequence : -1)

/** Groups what has come by the time that the batch before is done, so that a burst is one transaction. Reads on meanwhile, up to a few batches. */
async function* inBatches<Item>(stream: AsyncGenerator<Item, void, undefined>, countMax: number): AsyncGenerator<Item[], void, undefined> {
  const come: Item[] = []
  const leave = new AbortController()
  const changed = changeSignal()
  let ended: { error?: unknown } | undefined

  async function read(): Promise<void> {
    try {
      for await (const item of stream) {
        come.push(item)
        changed.notify()
        while (come.length >= 4 * countMax && !leave.signal.aborted) await changed.wait(leave.signal)
        if (leave.signal.aborted) break
      }
      ended = {}
    } catch (error) {
      ended = { error }
    }
    changed.notify()
  }

  void read()
  try {
    for (;;) {
      if (come.length > 0) {
        yield come.splice(0, countMax)
        changed.notify()
      } else if (ended) {
        if ('error' in ended) throw ended.error
        return
      } else await changed.wait(leave.signal)
    }
  } finally {
    leave.abort()
  }
}
