import { setTimeout as sleep } from 'node:timers/promises'
import type { Logger } from 'pino'
import { Failure } from '../../contract/failure.js'
import type { JobEvent__Output } from '../../generated/proto/scaimind/v1/JobEvent.js'
import type { FollowedJobs } from '../cache/followed.js'
import type { CoordinatorClient } from '../coordinator-client/index.js'
import type { JobEvents } from './job-events.js'

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
  log: Logger
}

const context = { tenantId: '*', requestId: 'follow_jobs' }
const batchMax = 200
const pauseMs = 500

/**
 * Follows all tenants' job events: writes each batch to the cache together with the cursor, then tells it to this process's readers. The first start,
 * and a cursor that the coordinator does not know any more, load all jobs anew.
 */
export function followJobs({ coordinator, followed, events, log }: Parts): JobFollower {
  const stop = new AbortController()
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
      const page = await coordinator.call('ListJobs', request, context)
      cursor ||= page.snapshot_cursor
      await followed.load(page.jobs)
      for (const { job_id } of page.jobs) seen.add(job_id)
      token = page.next_page_token
    } while (token && !stop.signal.aborted)
    await followed.loaded(seen, startedAt, cursor)
    log.info({ jobs: seen.size }, 'loaded all jobs into the cache')
    return cursor
  }

  async function follow(): Promise<void> {
    if (place === undefined) {
      place = (await followed.cursor()) || (await load())
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
      for await (const batch of inBatches(stream, batchMax)) {
        await followed.apply(batch)
        place = batch.at(-1)?.cursor ?? place
        events.publish(batch)
      }
    } finally {
      leave.abort()
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
          if (place !== undefined) events.begin(place)
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

/** Groups what is there already, so that a burst is one transaction. */
async function* inBatches(stream: AsyncGenerator<JobEvent__Output, void, undefined>, countMax: number) {
  let pending = stream.next()
  try {
    for (;;) {
      const first = await pending
      if (first.done) return
      const batch = [first.value]
      pending = stream.next()
      while (batch.length < countMax) {
        const next = await Promise.race([pending, new Promise<undefined>((resolve) => setImmediate(() => resolve(undefined)))])
        if (!next || next.done) break
        batch.push(next.value)
        pending = stream.next()
      }
      yield batch
    }
  } finally {
    pending.catch(() => {})
    void stream.return()
  }
}
