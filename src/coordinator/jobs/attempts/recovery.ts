/*
 * Taking up where an earlier life left off
 * ========================================
 *
 *        database                      the attempt's folder                  what recovery does
 *   ┌────────────────────┐        ┌─────────────────────────────┐
 *   │ attempt, no handle │        │ empty, or job.json          │  ──▶  nothing was started: submit it again, same number and token; where
 *   │                    │        │                             │       the job is being cancelled, it is CANCELLED
 *   │ attempt, no handle │        │ a launcher's claim          │  ──▶  it was started: take the handle, go on
 *   │ attempt, handle    │        │ launcher and trainer alive  │  ──▶  reattach; pass on again what is wanted; follow the trainer
 *   │ attempt, handle    │        │ exit.json                   │  ──▶  it ended meanwhile: apply its last lines, then write its end
 *   │ attempt, handle    │        │ no exit.json, nobody alive  │  ──▶  lost: the job goes back to the queue
 *   │ attempt, handle    │        │ a later attempt's folder    │  ──▶  its engine ran it again meanwhile: one attempt after the other is written, the last taken up
 *   │ attempt finished   │        │ anything                    │  ──▶  nothing: its end is on record
 *   └────────────────────┘        └─────────────────────────────┘
 *
 * A coordinator may die between any two statements. What makes that harmless is the order in which things are done in a life, and that each
 * of them can be done twice:
 *
 *   1. A placement is committed as a row of `attempt`, with its token, before the engine is asked. Its name in the engine is job and number,
 *      so the question "did you ever start this?" always has an answer; submitting under the same name starts nothing twice.
 *   2. The handle is stored when the engine answers. Without it the attempt is found by its name.
 *   3. Lines of `events.jsonl` are applied in the transaction that moves `attempt.events_applied`: none is lost, none counts twice. Metrics
 *      and logs are not copied at all; they are read where their writers left them.
 *   4. What is wanted of a job is committed before anybody is signalled, and is signalled again in the next life. Launchers pass on only
 *      the first request to stop, so a trainer that is saving is not disturbed.
 *   5. The end is read from the engine, and written in one transaction with the job's new status. An attempt whose row has no `finished_at`
 *      has not been ended, whatever happened; one that has it is over for good.
 *
 * So recovery is one query: every attempt without `finished_at`. Everything else, the queue above all, is looked at anew in each life anyway.
 */
import type { EngineHandle } from '../../engines/engine.js'
import type { Database } from '../records/database.js'
import type { JobStore } from '../records/store.js'
import type { AttemptKeeper } from './attempts.js'

/** Takes up every attempt that has no end on record. Call it once, before the queue gives places. Answers how many there were. */
export async function recover({
  database,
  store,
  attempts,
}: {
  database: Database
  store: JobStore
  attempts: AttemptKeeper
}): Promise<number> {
  const unfinished = await database.attempt.findMany({ where: { finishedAt: null }, select: { jobId: true, number: true, handle: true } })
  const jobs = await store.findAll({ jobId: { in: unfinished.map(({ jobId }) => jobId) } })
  for (const { jobId, number, handle } of unfinished) {
    const job = jobs.find((candidate) => candidate.jobId === jobId)
    if (job) attempts.takeUp(job, number, handle === null ? null : (JSON.parse(handle) as EngineHandle))
  }
  return unfinished.length
}
