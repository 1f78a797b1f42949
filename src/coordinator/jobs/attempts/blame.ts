import { toTimestamp } from '../../../contract/proto.js'
import type { JobFailure__Output } from '../../../generated/proto/scaimind/v1/JobFailure.js'
import type { NodeBlame__Output } from '../../../generated/proto/scaimind/v1/NodeBlame.js'
import type { Database, Transaction } from '../records/database.js'
import { type JobRecord, nodesOf, wantedOf } from '../records/record.js'
import type { Change } from '../records/store.js'
import { type Ending, ranTooLong } from './finish.js'

/** What the end of an attempt says about nodes: that one is to blame, or that all of them work. */
export type Judgement = { kind: 'blamed'; nodeId: string; message: string; time: Date } | { kind: 'works'; nodeIds: string[] }

/**
 * What the end of an attempt says about its nodes; null where it says nothing. A node is blamed where it or the attempt's launcher died, or where the failure is of
 * class NODE, unless the engine says that it was something else. Only an attempt that did its work shows that a node works: a failure of the job's own neither blames nor clears, since a broken node makes
 * odd failures too, and neither does a stop that was wanted. Where an attempt of several nodes was lost, nobody knows which of them it was. Pure.
 */
export function judgeNodes(job: JobRecord, number: number, { end, failure }: Pick<Ending, 'end' | 'failure'>): Judgement | null {
  const attempt = job.attempts.find((candidate) => candidate.number === number)
  if (!attempt) return null
  const nodeIds = nodesOf(attempt)
  if (end.exitCode === 0 && !end.lost) return { kind: 'works', nodeIds }
  if (wantedOf(job) !== 'RUN' || attempt.evicted !== null || ranTooLong(job, end.time) !== null) return null
  if (end.verdict && end.verdict.cause !== 'NODE_FAILED') return null
  const isLost = end.lost || end.verdict !== null
  if (!isLost && failure.class !== 'NODE') return null
  const nodeId = nodeIds.length === 1 ? nodeIds[0] : isLost ? undefined : nodeIds.find((id) => id === failure.node)
  return nodeId === undefined ? null : { kind: 'blamed', nodeId, message: end.verdict?.words || failure.message, time: end.time }
}

/** What it says about its node that an attempt's trainer could not be started there; null where it was to run on several, or was cancelled. Pure. */
export function judgeStart(job: JobRecord, number: number, failure: JobFailure__Output, time: Date): Judgement | null {
  const attempt = job.attempts.find((candidate) => candidate.number === number)
  const [nodeId, ...others] = attempt ? nodesOf(attempt) : []
  if (wantedOf(job) === 'CANCEL') return null
  return nodeId === undefined || others.length > 0 ? null : { kind: 'blamed', nodeId, message: failure.message, time }
}

/** How an attempt is named, and how many failures in a row cordon a node; 0: none do. */
export interface BlameOptions {
  job: JobRecord
  number: number
  cordonAfter: number
  now: Date
}

/** The change, and what it says about nodes, in one transaction; a node that failed so often in a row is drained with it. */
export function withJudgement(change: Change | null, judgement: Judgement | null, options: BlameOptions): Change | null {
  if (!change || !judgement || options.cordonAfter === 0) return change
  // Last of all in the transaction, where one follows the other: two failures that end at once must both be counted.
  return { ...change, remember: (tx) => writeJudgement(tx, judgement, options) }
}

async function writeJudgement(tx: Transaction, judgement: Judgement, { job, number, cordonAfter, now }: BlameOptions): Promise<void> {
  if (judgement.kind === 'works') {
    // What ran on when its node was cordoned may complete; the evidence stays for whoever looks into the cordon.
    const kept = await tx.node.findMany({ where: { nodeId: { in: judgement.nodeIds }, cordoned: true }, select: { nodeId: true } })
    const nodeIds = judgement.nodeIds.filter((nodeId) => !kept.some((node) => node.nodeId === nodeId))
    await tx.nodeBlame.deleteMany({ where: { nodeId: { in: nodeIds } } })
    return
  }
  const { nodeId, time } = judgement
  const message = judgement.message.slice(0, 1000)
  await tx.nodeBlame.create({ data: { nodeId, jobId: job.jobId, attempt: number, tenantId: job.tenantId, time, message } })
  const failures = await failuresInARow(tx, nodeId)
  const row = await tx.node.findUnique({ where: { nodeId } })
  if (failures.length < cordonAfter || row?.draining) return
  const times = failures.slice(-cordonAfter).map((failure) => failure.toISOString())
  const reason =
    `Cordoned: blamed for ${cordonAfter === 1 ? 'a failure' : `${cordonAfter} failures in a row`}, at ${times.join(', ')}.`.slice(0, 1000)
  const cordon = { draining: true, cordoned: true, confirmed: false, reason, evictAt: null, updatedAt: now }
  await tx.node.upsert({ where: { nodeId }, create: { nodeId, ...cordon }, update: cordon })
}

/**
 * When the node failed, oldest first. What breaks a node, such as its reboot, breaks all that runs there: an attempt that began before the node had failed
 * shows no second failure of it.
 */
async function failuresInARow(tx: Transaction, nodeId: string): Promise<Date[]> {
  const blames = await tx.nodeBlame.findMany({ where: { nodeId }, orderBy: { time: 'asc' } })
  const attempts = await tx.attempt.findMany({
    where: { OR: blames.map(({ jobId, attempt }) => ({ jobId, number: attempt })) },
    select: { jobId: true, number: true, submittedAt: true, startedAt: true },
  })
  const failures: Date[] = []
  for (const { jobId, attempt: number, time } of blames) {
    const attempt = attempts.find((candidate) => candidate.jobId === jobId && candidate.number === number)
    const last = failures.at(-1)
    if (!last || !attempt || (attempt.startedAt ?? attempt.submittedAt) >= last) failures.push(time)
  }
  return failures
}

const shownMax = 10

/** What nodes are blamed for, oldest first, the newest 10 of each; of other tenants' jobs only when. With `*` all of it. */
export async function readBlames(database: Database, tenantId: string): Promise<Map<string, NodeBlame__Output[]>> {
  const rows = await database.nodeBlame.findMany({ orderBy: { time: 'asc' } })
  const blames = new Map<string, NodeBlame__Output[]>()
  for (const { nodeId, jobId, attempt, time, message, ...row } of rows) {
    const isOwn = tenantId === '*' || row.tenantId === tenantId
    const blame = { job_id: isOwn ? jobId : '', attempt, time: toTimestamp(time), message: isOwn ? message : '' }
    blames.set(nodeId, [...(blames.get(nodeId) ?? []), blame].slice(-shownMax))
  }
  return blames
}
