import { open, stat } from 'node:fs/promises'
import { basename } from 'node:path'
import type { FieldProblem } from '../../../contract/failure.js'
import { toTimestamp } from '../../../contract/proto.js'
import type { JobPlan__Output } from '../../../generated/proto/scaimind/v1/JobPlan.js'
import type { SourceReport__Output } from '../../../generated/proto/scaimind/v1/SourceReport.js'
import { inspectSources } from '../../data/inspect.js'
import { formatOfSource } from '../../data/source-format.js'
import type { Engine, EngineNode } from '../../engines/engine.js'
import type { Content, JobContent } from '../content/content.js'
import { estimateMemory, fitToNodes } from '../content/memory.js'
import { readModelShape } from '../content/model-shape.js'
import { isFileSource } from '../content/resolve.js'
import { seenBy, toBlockerMessage } from '../placement/blockers.js'
import { toEmptyMachine } from '../placement/cluster-limits.js'
import type { JobQueue } from '../placement/queue.js'
import { findRoom } from '../placement/room.js'
import { estimateRunSeconds, estimateSteps } from '../placement/run-time.js'
import type { Database } from '../records/database.js'
import { needsOf } from '../records/needs.js'
import type { JobSettings } from '../records/settings.js'
import type { Spec } from '../records/spec.js'
import { findReusable } from './reuse.js'
import type { Checked } from './validate.js'

/** What planning looks at. */
export interface PlanOptions {
  queue: JobQueue
  engine: Engine
  database: Database
  content: JobContent
  settings: Pick<JobSettings, 'trainer'>
  clock: () => Date
}

/** What a submission would take, from what its check found. Stores nothing. */
export async function planJob(
  { queue, engine, database, content, settings, clock }: PlanOptions,
  { spec, tenantId, checked }: { spec: Spec; tenantId: string; checked: Checked },
): Promise<JobPlan__Output> {
  const now = clock()
  const needs = needsOf(spec)
  const [{ guest: decision, ahead }, nodes, madeOf, shape] = await Promise.all([
    queue.viewWith({ spec, tenantId }),
    engine.nodes(),
    content.soon({ given: spec, resolved: checked.spec }),
    readModelShape(checked.spec.training_config.base_model.model_id),
  ])
  const reusable = await findReusable(database, { spec, tenantId, contentHash: madeOf.contentHash })
  const sources = await reportSources(settings, spec, checked, madeOf)
  const records = sum(sources, ({ records: count }) => count)
  const tokens = sum(sources, ({ tokens_estimate: count }) => count)
  // The embedded trainer says its steps itself, unless its data are wrong or too many.
  const isReckoned = !checked.isEmbedded && checked.dataProblems.length === 0
  const totalSteps = checked.totalSteps ?? (isReckoned ? estimateSteps(spec, { records, tokens }) : 0)
  const seconds = await estimateRunSeconds(database, tenantId, spec, { totalSteps, records, tokens })
  const startsNow = decision?.placement != null
  return {
    records: String(records),
    tokens: String(tokens),
    total_steps: String(totalSteps),
    nodes: startsNow
      ? (decision.placement?.map(({ nodeId }) => nodeId) ?? [])
      : nodes.filter((node) => couldHold(node, spec)).map(({ nodeId }) => nodeId),
    starts_now: startsNow,
    jobs_ahead: ahead,
    acceptable: checked.dataProblems.length === 0,
    sources,
    memory: shape ? fitToNodes(estimateMemory(spec, shape), spec, nodes) : [],
    ...(seconds === null ? {} : { estimated_run_seconds: seconds, gpu_hours: (needs.gpuCount * seconds) / 3600 }),
    estimated_start: startsNow ? toTimestamp(now) : decision?.estimatedStart ? toTimestamp(decision.estimatedStart) : null,
    blockers: (decision?.blockers ?? []).map((blocker) => toBlockerMessage(seenBy(tenantId, blocker))),
    content_hash: madeOf.contentHash,
    jobs_preempted: decision?.victims.length ?? 0,
    reusable_job_id: reusable?.jobId ?? '',
  }
}

const sum = <Item>(items: Item[], count: (item: Item) => string): number => items.reduce((total, item) => total + Number(count(item)), 0)

/** Each source as its trainer reads it, with what is wrong by line. */
async function reportSources(
  { trainer }: Pick<JobSettings, 'trainer'>,
  given: Spec,
  checked: Checked,
  { dataHashes }: Content,
): Promise<SourceReport__Output[]> {
  const { sources, preprocess } = checked.spec.data_config
  const { training_type: trainingType } = checked.spec.training_config
  const asked = sources.map(({ path, format }) => ({
    path,
    format,
    field_mapping: preprocess?.field_mapping ?? {},
    training_type: trainingType,
  }))
  const inspections = !checked.isEmbedded || !checked.isReadThrough ? [] : await inspectSources(asked, trainer)
  return await Promise.all(
    sources.map(async (source, index) => {
      const { path } = source
      const inspection = inspections[index]
      const counted = checked.data.find(({ source: counts }) => counts === index)
      const hashed = dataHashes[index]
      const isHere = isFileSource(source)
      const size = isHere ? await bytesOf(path) : null
      const field = `data_config.sources[${index}].path`
      const told = checked.dataProblems.filter((problem) => problem.path === field).map((problem) => toDataProblem(problem, basename(path)))
      const found = inspection?.problems.map(({ line, message }) => ({ line: String(line), message })) ?? []
      return {
        path: given.data_config.sources[index]?.path ?? path,
        // Whether a hub has it, the job finds out.
        readable: inspection?.readable ?? (!isHere || size !== null),
        // Where nobody counted, a line is a record, and four bytes are a token.
        records: String(counted?.records ?? inspection?.records ?? hashed?.records ?? 0),
        tokens_estimate: String(counted?.tokens ?? inspection?.tokens ?? Math.round((size ?? 0) / 4)),
        sample: inspection?.sample ?? (isHere && formatOfSource(source) !== 'parquet' ? await firstLine(path) : ''),
        problems: found.length > 0 ? found : told,
        content_hash: hashed?.content_hash ?? '',
        bytes: String(size ?? 0),
      }
    }),
  )
}

/** The trainer writes `file.jsonl:12: what is wrong`, and without a number where it is about the whole file. */
export function toDataProblem({ message }: FieldProblem, name: string): { line: string; message: string } {
  if (!message.startsWith(`${name}:`)) return { line: '0', message }
  const rest = message.slice(name.length + 1)
  const [all, line] = /^(\d+): /.exec(rest) ?? []
  return { line: line ?? '0', message: rest.slice(all?.length ?? 0).trim() }
}

const bytesOf = (path: string): Promise<number | null> =>
  stat(path).then(
    ({ size }) => size,
    () => null,
  )

const sampleMax = 1000

async function firstLine(path: string): Promise<string> {
  const file = await open(path, 'r').catch(() => null)
  if (!file) return ''
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(64 * 1024), 0, 64 * 1024, 0)
    const lines = buffer
      .toString('utf8', 0, bytesRead)
      .replace(/^\uFEFF/, '')
      .split(/\r?\n/)
    return (lines.find((line) => line.trim() !== '') ?? '').slice(0, sampleMax)
  } catch {
    // A folder has no first line.
    return ''
  } finally {
    await file.close()
  }
}

/** Whether a node, with nothing running on it, could hold a node's part of the job. */
function couldHold(node: EngineNode, spec: Spec): boolean {
  const needs = needsOf(spec)
  const machine = { ...toEmptyMachine(node), takesWork: node.online && !node.draining }
  return findRoom({ ...needs, nodes: 1, gpuCount: needs.gpuCount / needs.nodes }, [machine]) !== null
}
