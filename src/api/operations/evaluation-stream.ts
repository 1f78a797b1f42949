import { toEvaluation } from '../../contract/evaluation.js'
import { isTerminal, type JobStatus } from '../../contract/statuses.js'
import type { JobEvent__Output } from '../../generated/proto/scaimind/v1/JobEvent.js'
import type { Caller } from '../auth/viewer.js'
import { type Feed, mapFeed, startingWith, without } from '../live/feed.js'
import type { JobEvents } from '../live/job-events.js'
import type { EvaluationView } from './evaluation-types.js'

/** An evaluation as it is, then as each change leaves it. Ends when it is terminal or gone. Rejects where there is none. */
export async function followEvaluation(
  events: JobEvents,
  { viewer: { tenantId }, requestId }: Caller,
  evaluationId: string,
  current: () => Promise<EvaluationView>,
): Promise<Feed<EvaluationView>> {
  // Taken before it is read: a change in between is heard twice, and told once.
  const place = events.here(tenantId)
  // Who asks for what cannot be read does not wait for the events to begin.
  if (typeof place !== 'string') await current()
  const here = await place
  const now = await current()
  if (isTerminal(now.evaluation.status as JobStatus)) return startingWith([now])
  const told = BigInt(now.evaluation.revision)
  const changes = events.follow({ tenantId, jobId: evaluationId, after: here, requestId })
  const isTold = (taken: object) => {
    const { job } = taken as JobEvent__Output
    return job !== null && BigInt(job.revision) <= told
  }
  return startingWith([now], mapFeed(without(changes, isTold), viewOf))
}

const viewOf = ({ job }: JobEvent__Output): EvaluationView | null =>
  job && { evaluation: toEvaluation(job), syncedAt: new Date(), stale: false }
