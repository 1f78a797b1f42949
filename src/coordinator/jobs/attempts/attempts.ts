import { InvalidInput } from '../../../contract/failure.js'
import { type AttemptEnd, type AttemptName, type Engine, type EngineEvent, type EngineHandle, EngineRefusal } from '../../engines/engine.js'
import { mergeRanks } from '../../journal/merge.js'
import { mergeMetrics } from '../../journal/merge-metrics.js'
import { attemptDirectory } from '../../journal/paths.js'
import { orderAttempt } from '../content/job-file.js'
import type { ModelRegistry } from '../models/registry.js'
import type { JobChanges } from '../records/changes.js'
import type { Database } from '../records/database.js'
import type { Log } from '../records/log.js'
import { persist } from '../records/persist.js'
import { type JobRecord, nodesOf, wantedOf } from '../records/record.js'
import type { JobSettings } from '../records/settings.js'
import type { JobStore } from '../records/store.js'
import { storeEnd, storeHandle, storeNeverRan, storeRequeue, storeStart } from './attempt-changes.js'
import { judgeNodes, judgeStart, withJudgement } from './blame.js'
import { examineAttempt } from './examine.js'
import { ownFailure } from './failure.js'
import { followTrainer } from './follow-trainer.js'
import { type Obedience, obey } from './obey.js'
import { newReach, type Reach, reachWatch } from './reach.js'
import { type PromiseWithResolver, resolver } from './resolver.js'
import { schedulingOf } from './scheduling.js'

/** An attempt that this process looks after until its processes are proven dead. */
interface Held extends Obedience {
  /** Set once the engine told how it ended. */
  end: AttemptEnd | null
  /** Set where the engine told that it runs the job again by itself. */
  requeued: Extract<EngineEvent, { type: 'requeued' }> | null
  /** Aborts where it is cancelled before the engine has taken it. */
  unwanted: AbortController
  /** Resolves when the engine has answered the submission and that is on record. */
  submitted: PromiseWithResolver
  /** Resolves when its processes run, or ended: until then there is nothing to follow. */
  running: PromiseWithResolver
  /** Resolves when it ended. */
  ended: PromiseWithResolver
  /** Resolves when its start is on record; the end is written after it. */
  started: Promise<void>
  reach: Reach
}

/** What attempts need. */
export interface AttemptsOptions {
  store: JobStore
  database: Database
  changes: JobChanges
  engine: Engine
  models: ModelRegistry
  settings: JobSettings
  log: Log
  clock: () => Date
}

/** How often time limits are looked at and requests that failed are repeated. */
const tickMs = 1000

/** Looks after attempts: starts them, follows what their trainers tell, passes on what is wanted of them, and writes how they ended. */
export function attemptKeeper({ store, database, changes, engine, models, settings, log, clock }: AttemptsOptions) {
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
  const reach = reachWatch({
    attempts: () => held.values(),
    silentMs: settings.silentTrainerMs,
    keep: (attempt: Held, decide) => void keep(attempt, 'its reach', decide).catch(logged(attempt, 'its reach could not be written')),
    clock,
  })
  const listening = listenToEngine()

  return {
    /** Starts the attempt that was just placed: its row says what is intended, and nothing has been asked of the engine yet. */
    launch(job: JobRecord): void {
      const attempt = hold(job, job.attempt, null)
      if (attempt) run(attempt, () => submit(attempt))
    },

    takeUp,

    /** Stops looking after attempts; their trainers run on. */
    async close(): Promise<void> {
      clearInterval(ticker)
      reach.close()
      stopListening()
      closing.abort()
      for (const attempt of held.values()) {
        attempt.submitted.resolve()
        attempt.running.resolve()
        attempt.ended.resolve()
      }
      await Promise.all([listening, ...lives])
    },
  }

  /** Takes up an attempt that the engine has, or may have: of an earlier life of the coordinator, wherever that life left it, or one that the engine began itself. */
  function takeUp(job: JobRecord, number: number, handle: EngineHandle | null): void {
    const attempt = hold(job, number, handle)
    if (!attempt) return
    run(attempt, async () => {
      const found = await persist({ signal, log, what: `reattaching ${keyOf(job.jobId, number)}` }, () =>
        engine.reattach(attempt.name, handle),
      )
      if (found) return await record(attempt, found)
      if (handle) {
        // What it wrote may not be merged to its end yet.
        await mergeJournals(attempt, () => true)
        return await finish(attempt, { time: clock(), exitCode: null, signal: '', lost: true, verdict: null })
      }
      // What is being cancelled, and never started, is not started only to be stopped.
      if (attempt.job.wanted === 'CANCEL') return await neverRan(attempt, new Error('It was cancelled before it started.'))
      await submit(attempt)
    })
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
      requeued: null,
      unwanted: new AbortController(),
      submitted: resolver(),
      running: resolver(),
      ended: resolver(),
      started: Promise.resolve(),
      reach: newReach(job, clock()),
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
      const scheduling = engine.scheduler ? await schedulingOf(database, attempt.job) : null
      const order = await orderAttempt(attempt.job, { resumeFrom: await resumePath(attempt), scheduling }, settings)
      const handle = await engine.submit(order, AbortSignal.any([signal, attempt.unwanted.signal]))
      await record(attempt, handle)
    } catch (error) {
      if (signal.aborted) return
      if (isRefusal(error)) return await neverRan(attempt, error)
      if (!attempt.unwanted.signal.aborted) log.warn({ err: error, job_id: jobId, attempt: number }, 'the engine did not take an attempt')
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
    await attempt.running.promise
    await attempt.started
    if (signal.aborted) return
    const merging = mergeJournals(attempt)
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
    await merging
    if (attempt.end) await finish(attempt, attempt.end)
  }

  /** Makes one log of those of several launchers, and one sequence of the trainer's metrics and its GPUs', for as long as they are written. */
  async function mergeJournals(attempt: Held, closed = () => attempt.end !== null): Promise<void> {
    const { jobId, number, directory } = attempt.name
    const row = attempt.job.attempts.find((candidate) => candidate.number === number)
    const ranks = Math.max(1, row ? nodesOf(row).length : 1)
    const options = { directory, ranks, closed, signal }
    const of = keyOf(jobId, number)
    await Promise.all([
      ranks > 1 && persist({ signal, log, what: `merging the logs of ${of}` }, () => mergeRanks(options)),
      row?.gpuSampled && persist({ signal, log, what: `merging the metrics of ${of}` }, () => mergeMetrics(options)),
    ])
  }

  async function finish(attempt: Held, end: AttemptEnd): Promise<void> {
    const { jobId, number } = attempt.name
    await attempt.started
    if (signal.aborted) return
    const { requeued } = attempt
    if (requeued) {
      const lost = { end: requeued.end, failure: ownFailure('UNKNOWN', 'The engine gave it up.') }
      await keep(attempt, 'that it runs again', (job, now) =>
        withJudgement(storeRequeue(job, number, requeued), judgeNodes(job, number, lost), { job, number, cordonAfter, now }),
      )
      held.delete(keyOf(jobId, number))
      return takeUp(attempt.job, requeued.next.number, requeued.handle)
    }
    const ending = await persist({ signal, log, what: `examining ${keyOf(jobId, number)}` }, async () =>
      examineAttempt((await store.find(jobId)) ?? attempt.job, { number, end, settings, models }),
    )
    await keep(attempt, 'the end', (job, now) =>
      withJudgement(storeEnd(job, number, ending, now), judgeNodes(job, number, ending), { job, number, cordonAfter, now }),
    )
    held.delete(keyOf(jobId, number))
  }

  /** An attempt that never had processes. */
  async function neverRan(attempt: Held, error: unknown): Promise<void> {
    const { jobId, number } = attempt.name
    const isRefused = isRefusal(error)
    const message = error instanceof Error ? error.message : String(error)
    const failure =
      error instanceof EngineRefusal
        ? ownFailure('UNKNOWN', message, { hint: 'Ask for what the cluster has, or ask whoever runs it.' })
        : ownFailure(isRefused ? 'DATA' : 'NODE', isRefused ? message : 'The trainer could not be started on its node.')
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
        attempt.running.resolve()
        attempt.started = attempt.submitted.promise
          .then(() => (signal.aborted ? undefined : keep(attempt, 'the start', (job) => storeStart(job, attempt.name.number, event))))
          .catch(logged(attempt, 'its start could not be written'))
        return
      case 'ended':
        endOf(attempt, event)
        return
      case 'requeued':
        attempt.requeued = event
        endOf(attempt, event.end)
        return
      case 'unreachable':
        reach.hear(attempt, event.unreachable ? { since: event.since, reason: event.reason } : null)
    }
  }

  function endOf(attempt: Held, end: AttemptEnd): void {
    attempt.end = end
    attempt.running.resolve()
    attempt.ended.resolve()
  }

  async function seeToIt(attempt: Held): Promise<void> {
    if (!attempt.handle && wantedOf(attempt.job) === 'CANCEL') attempt.unwanted.abort()
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

const isRefusal = (error: unknown): boolean => error instanceof InvalidInput || error instanceof EngineRefusal

const keyOf = (jobId: string, number: number): string => `${jobId}/${number}`
