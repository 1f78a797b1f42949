import { toEvaluation } from '../../contract/evaluation.js'
import { isTerminal, type JobStatus } from '../../contract/statuses.js'
import type { Caller } from '../auth/viewer.js'
import type { JobEvents } from '../live/job-events.js'
import { type Live, leaving, liveStream } from '../live/live-stream.js'
import type { EvaluationView } from './evaluation-types.js'

const closing = new AbortController().signal

/** An evaluation as it is, then as each change leaves it. Ends when it is terminal or gone. */
export function followEvaluation(
  events: JobEvents,
  { viewer, requestId }: Caller,
  evaluationId: string,
  current: () => Promise<EvaluationView>,
): Live<EvaluationView> {
  const { tenantId, ended } = viewer

  async function* read(signal: AbortSignal): AsyncGenerator<EvaluationView, void, undefined> {
    // Taken before it is read: a change in between is heard twice, and told once.
    const here = events.here(tenantId)
    const now = await current()
    yield now
    if (isOver(now)) return
    let told = BigInt(now.evaluation.revision)
    const matches = ({ job_id }: { job_id: string }) => job_id === evaluationId
    for await (const { job } of leaving(signal, events.follow({ tenantId, after: here || undefined, requestId, ended, matches }))) {
      if (!job) return
      if (BigInt(job.revision) <= told) continue
      told = BigInt(job.revision)
      const changed = { evaluation: toEvaluation(job), syncedAt: new Date(), stale: false }
      yield changed
      if (isOver(changed)) return
    }
  }
  return liveStream(read, { ended, closing })
}

const isOver = ({ evaluation }: EvaluationView) => isTerminal(evaluation.status as JobStatus)
