import { InvalidInput } from '../../../contract/failure.js'
import type { AttemptEnd, AttemptName, Engine, EngineEvent, EngineHandle } from '../../engines/engine.js'
import { attemptDirectory } from '../../journal/paths.js'
import { orderAttempt } from '../content/job-file.js'
import type { JobChanges } from '../records/changes.js'
import type { Database } from '../records/database.js'
import type { Log } from '../records/log.js'
import { persist } from '../records/persist.js'
import type { JobRecord } from '../records/record.js'
import type { JobSettings } from '../records/settings.js'
import type { JobStore } from '../records/store.js'
import { storeEnd, storeHandle, storeNeverRan, storeStart } from './attempt-changes.js'
import { judgeNodes, judgeStart, withJudgement } from './blame.js'
import { examineAttempt } from './examine.js'
import { ownFailure } from './failure.js'
import { followTrainer } from './follow-trainer.js'
import { type Obedience, obey } from './obey.js'
import { awayNow, lookForSign, type Reach, storeReach } from './reach.js'

/** An attempt that this process looks after until its processes are proven dead. */
interface Held extends Obedience {
  /** Set once the engine told how it ended. */
  end: AttemptEnd | null
  /** Resolves when the engine has answered the submission and that is on record. */
  submitted: PromiseWithResolver
  /** Resolves when it ended. */
  ended: PromiseWithResolver
  /** Resolves when its start is on record; the end is written after it. */
  started: Promise<void>
  reach: Reach
}

interface PromiseWithResolver {
  promise: Promise<void>
  resolve: () => void
}

/** What attempts need. */
export interface AttemptsOptions {
  store: JobStore
  database: Database
  changes: JobChanges
  engine: Engine
  settings: JobSettings
  log: Log
  clock: () => Date
}

/** How often time limits are looked at and requests that failed are repeated. */
const tickMs = 1000
/** How often it is looked whether trainers write anything; more often where little silence is allowed. */
const signLookMs = 30_000

/** Looks after attempts: starts them, follows what their trainers tell, passes on what is wanted of them, and writes how they ended. */
export function attemptKeeper({ store, database, changes, engine, settings, log, clock }: AttemptsOptions) {
  const { cordonAfter } = settings
  const held = new Map<string, Held>()
  const closing = new AbortController()
  const { signal } = closing
  const lives = new Set<Promise<void>>()

  const stopListening = changes.listen('*', ({ job }) => {
    const attempt = held.get(keyOf(job.jobId, job.attempt))
    if (!attempt || job.revision <= attempt.job.revision) return
    attempt.job = job
    void seeToIt(attempt)
  })
  const ticker = setInterval(() => {
    for (const attempt of held.values()) void seeToIt(attempt)
  }, tickMs)
  const listener = setInterval(
    () => {
      for (const attempt of held.values()) void lookAfterReach(attempt)
    },
    settings.silentTrainerMs > 0 ? Math.min(signLookMs, Math.max(200, settings.silentTrainerMs / 4)) : signLookMs,
  )
  const listening = listenToEngine()

  return {
    /** Starts the attempt that was just placed: its row says what is intended, and nothing has been asked of the engine yet. */
    launch(job: JobRecord): void {
      const attempt = hold(job, job.attempt, null)
      if (attempt) run(attempt, () => submit(attempt))
    },

    /** Takes up an attempt of an earlier life of the coordinator, wherever that life left it. */
    takeUp(job: JobRecord, number: number, handle: EngineHandle | null): void {
      const attempt = hold(job, number, handle)
      if (!attempt) return
      run(attempt, async () => {
        const found = await persist({ signal, log, what: `reattaching ${keyOf(job.jobId, number)}` }, () =>
          engine.reattach(attempt.name, handle),
        )
        if (found) return await record(attempt, found)
        if (handle) return await finish(attempt, { time: clock(), exitCode: null, signal: '', lost: true, verdict: null })
        // What is being cancelled, and never started, is not started only to be stopped.
        if (attempt.job.wanted === 'CANCEL') return await neverRan(attempt, new Error('It was cancelled before it started.'))
        await submit(attempt)
      })
    },

    /** Stops looking after attempts; their trainers run on. */
    async close(): Promise<void> {
      clearInterval(ticker)
      clearInterval(listener)
      stopListening()
      closing.abort()
      for (const attempt of held.values()) {
        attempt.submitted.resolve()
        attempt.ended.resolve()
      }
      await Promise.all([listening, ...lives])
    },
  }

  function hold(job: JobRecord, number: number, handle: EngineHandle | null): Held | null {
    const key = keyOf(job.jobId, number)
    if (held.has(key) || signal.aborted) return null
    const directory = attemptDirectory(settings.dataDir, job.tenantId, job.jobId, number)
    const name: AttemptName = { jobId: job.jobId, number, directory }
    const attempt: Held = {
      job,
      name,
      handle,
      asked: '',
      end: null,
      submitted: resolver(),
      ended: resolver(),
      started: Promise.resolve(),
      reach: { away: null, sign: null },
    }
    held.set(key, attempt)
    return attempt
  }

  function run(attempt: Held, begin: () => Promise<void>): void {
    const life = begin()
      .catch((error: unknown) => {
        if (!signal.aborted)
          log.error({ err: error, job_id: attempt.name.jobId, attempt: attempt.name.number }, 'an attempt could not be begun')
      })
      .finally(() => lives.delete(life))
    lives.add(life)
  }

  async function submit(attempt: Held): Promise<void> {
    const { jobId, number } = attempt.name
    try {
      const order = await orderAttempt(attempt.job, await resumePath(attempt), settings)
      const handle = await engine.submit(order)
      await record(attempt, handle)
    } catch (error) {
      if (signal.aborted) return
      if (error instanceof InvalidInput) return await neverRan(attempt, error)
      log.warn({ err: error, job_id: jobId, attempt: number }, 'the engine did not take an attempt')
      // It may have started all the same; only the engine knows.
      const handle = await persist({ signal, log, what: `asking after ${keyOf(jobId, number)}` }, () => engine.reattach(attempt.name, null))
      if (handle) await record(attempt, handle)
      else await neverRan(attempt, error)
    }
  }

  async function resumePath({ job, name }: Held): Promise<string | null> {
    const id = job.attempts.find(({ number }) => number === name.number)?.fromCheckpoint
    if (!id) return null
    const what = `looking up checkpoint ${id}`
    return await persist({ signal, log, what }, async () => {
      return (await database.checkpoint.findUnique({ where: { checkpointId: id } }))?.path ?? null
    })
  }

  /** The engine has it: its handle goes on record, then it is followed to its end. */
  async function record(attempt: Held, handle: EngineHandle): Promise<void> {
    attempt.handle = handle
    const { jobId, number } = attempt.name
    await keep(attempt, 'the handle', (job) => storeHandle(job, number, handle))
    attempt.submitted.resolve()
    void seeToIt(attempt)
    await persist({ signal, log, what: `following ${keyOf(jobId, number)}` }, () =>
      followTrainer(store, {
        dataDir: settings.dataDir,
        job: attempt.job,
        number,
        closed: () => attempt.end !== null,
        changed: () => attempt.ended.promise,
        signal,
      }),
    )
    if (attempt.end) await finish(attempt, attempt.end)
  }

  async function finish(attempt: Held, end: AttemptEnd): Promise<void> {
    const { jobId, number } = attempt.name
    await attempt.started
    if (signal.aborted) return
    const ending = await persist({ signal, log, what: `examining ${keyOf(jobId, number)}` }, async () =>
      examineAttempt((await store.find(jobId)) ?? attempt.job, { number, end, settings }),
    )
    await keep(attempt, 'the end', (job, now) =>
      withJudgement(storeEnd(job, number, ending, now), judgeNodes(job, number, ending), { job, number, cordonAfter, now }),
    )
    held.delete(keyOf(jobId, number))
  }

  /** An attempt that never had processes. */
  async function neverRan(attempt: Held, error: unknown): Promise<void> {
    const { jobId, number } = attempt.name
    const isRefused = error instanceof InvalidInput
    const message = error instanceof Error ? error.message : String(error)
    const failure = ownFailure(isRefused ? 'DATA' : 'NODE', isRefused ? message : 'The trainer could not be started on its node.')
    await keep(attempt, 'that it never ran', (job, now) => {
      const judgement = isRefused ? null : judgeStart(job, number, failure, now)
      return withJudgement(storeNeverRan(job, number, { failure, isRefused }, now), judgement, { job, number, cordonAfter, now })
    })
    held.delete(keyOf(jobId, number))
  }

  async function listenToEngine(): Promise<void> {
    for await (const event of engine.watch(signal)) {
      const attempt = held.get(keyOf(event.attempt.jobId, event.attempt.number))
      if (attempt) hear(attempt, event)
    }
  }

  function hear(attempt: Held, event: EngineEvent): void {
    switch (event.type) {
      case 'started':
        attempt.started = attempt.submitted.promise
          .then(() => (signal.aborted ? undefined : keep(attempt, 'the start', (job) => storeStart(job, attempt.name.number, event.time))))
          .catch(logged(attempt, 'its start could not be written'))
        return
      case 'ended':
        attempt.end = event
        attempt.ended.resolve()
        return
      case 'unreachable':
        attempt.reach.away = event.unreachable ? { since: event.since, reason: event.reason } : null
        void writeReach(attempt)
    }
  }

  async function lookAfterReach(attempt: Held): Promise<void> {
    if (attempt.end) return
    attempt.reach.sign = await lookForSign(attempt.reach.sign, attempt.name.directory, clock())
    await writeReach(attempt)
  }

  async function writeReach(attempt: Held): Promise<void> {
    const { number } = attempt.name
    const away = awayNow(attempt.job, attempt.reach, { silentMs: settings.silentTrainerMs, now: clock() })
    if (!storeReach(attempt.job, number, away)) return
    await keep(attempt, 'its reach', (job) => storeReach(job, number, away)).catch(logged(attempt, 'its reach could not be written'))
  }

  async function seeToIt(attempt: Held): Promise<void> {
    await obey(attempt, { engine, now: clock() }).catch(logged(attempt, 'its trainer could not be asked to stop'))
  }

  /** A change that must come about, however long the database is away. */
  async function keep(attempt: Held, what: string, decide: Parameters<JobStore['change']>[1]): Promise<void> {
    const { jobId, number } = attempt.name
    const job = await persist({ signal, log, what: `writing ${what} of ${keyOf(jobId, number)}` }, () => store.change(jobId, decide))
    // Also where nothing was changed: what is wanted may have changed before we began to listen.
    if (job && job.revision > attempt.job.revision) attempt.job = job
  }

  function logged({ name }: Held, message: string) {
    return (error: unknown) => {
      if (!signal.aborted) log.warn({ err: error, job_id: name.jobId, attempt: name.number }, message)
    }
  }
}

/** What keeps attempts. */
export type AttemptKeeper = ReturnType<typeof attemptKeeper>

const keyOf = (jobId: string, number: number): string => `${jobId}/${number}`

function resolver(): PromiseWithResolver {
  let resolve = () => {}
  const promise = new Promise<void>((done) => {
    resolve = done
  })
  return { promise, resolve }
}
