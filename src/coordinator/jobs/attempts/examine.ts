import { cp, mkdir } from 'node:fs/promises'
import type { JobFailure__Output } from '../../../generated/proto/scaimind/v1/JobFailure.js'
import type { ModelArtefact__Output } from '../../../generated/proto/scaimind/v1/ModelArtefact.js'
import { resolveAllowedFolder } from '../../data/allowed-paths.js'
import type { AttemptEnd } from '../../engines/engine.js'
import { firstBadStep } from '../../journal/first-bad-step.js'
import { hashFolder, liesWithin } from '../../journal/folders.js'
import { readLogs } from '../../journal/logs.js'
import { attemptDirectory, jobDirectory, metricsPath } from '../../journal/paths.js'
import { followTrainerEvents, type TrainerEvent } from '../../journal/trainer-events.js'
import type { ModelRegistry } from '../models/registry.js'
import { type JobRecord, nodesOf, specOf, wantedOf } from '../records/record.js'
import type { JobSettings } from '../records/settings.js'
import { explainFailure, ownFailure } from './failure.js'
import type { Ending } from './finish.js'
import { registerOutput } from './register-output.js'

/** Lines in which the reason is looked for. */
const linesMax = 60

/** Reads what an ended attempt left behind: why it failed, should it have failed; and delivers and registers the output of one that did its work. Safe to repeat. */
export async function examineAttempt(
  job: JobRecord,
  { number, end, settings, models }: { number: number; end: AttemptEnd; settings: JobSettings; models: ModelRegistry },
): Promise<Ending> {
  const isDone = end.exitCode === 0 && !end.lost && wantedOf(job) === 'RUN'
  if (!isDone) return { end, failure: await diagnose(job, number, end, settings.dataDir), undelivered: null }
  const output = await nameOutput(job, settings.dataDir)
  const undelivered = await deliver(job, settings)
  // What could not be delivered is not registered: the job fails.
  const { registered, failure } = undelivered
    ? { registered: new Map(), failure: undelivered }
    : await registerOutput(job, { number, settings, models })
  const model = output && registered.get(output.path)
  const named = model ? { registered_model_id: model.registered_model_id, registered_path: model.path } : {}
  return {
    end,
    ...(output ? { output: { ...output, ...named } } : {}),
    failure: ownFailure('UNKNOWN', ''),
    undelivered: failure,
    isRegistered: registered.size > 0,
  }
}

async function diagnose(job: JobRecord, number: number, end: AttemptEnd, dataDir: string): Promise<JobFailure__Output> {
  const directory = attemptDirectory(dataDir, job.tenantId, job.jobId, number)
  let told: Extract<TrainerEvent, { type: 'failure' }> | null = null
  const signal = new AbortController().signal
  for await (const { event } of followTrainerEvents({ directory, fromLine: 0, closed: () => true, signal })) {
    if (event.type === 'failure') told = event
  }
  const attempt = job.attempts.find((candidate) => candidate.number === number)
  const nodes = attempt ? nodesOf(attempt) : []
  const page = { dataDir, job, attempts: [{ number, closed: true, ranks: Math.max(1, nodes.length) }], limit: linesMax, fromEnd: true }
  const errors = await readLogs({ ...page, stream: 'stderr' })
  const { records } = errors.records.length > 0 ? errors : await readLogs(page)
  const symptoms = { end, told, lines: records, nodes }
  const failure = explainFailure(symptoms)
  if (failure.class !== 'NAN_LOSS' || failure.first_bad_step !== undefined) return failure
  return explainFailure({ ...symptoms, firstBadStep: await firstBadStep(metricsPath(directory)) })
}

/** The output with the hash of its files; null where there is none. */
async function nameOutput(job: JobRecord, dataDir: string): Promise<ModelArtefact__Output | null> {
  const output = outputOf(job)
  if (!output || !(await liesWithin(output.path, jobDirectory(dataDir, job.tenantId, job.jobId)))) return null
  return { ...output, content_hash: await hashFolder(output.path) }
}

const outputOf = ({ output }: JobRecord) => (output === null ? null : (JSON.parse(output) as ModelArtefact__Output))

/** Copies the output to where the submission asked for it. Safe to repeat: the files are the same. */
async function deliver(job: JobRecord, settings: JobSettings): Promise<JobFailure__Output | null> {
  const uri = specOf(job).output_config.output_uri
  const output = outputOf(job)
  if (uri === '' || !output) return null
  try {
    const { dataRoots } = settings
    const folder = await resolveAllowedFolder({ path: uri, tenantId: job.tenantId, dataRoots, field: 'output_config.output_uri' })
    await mkdir(folder, { recursive: true })
    await cp(output.path, folder, { recursive: true })
    return null
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    return ownFailure('UNKNOWN', `The output could not be copied to ${uri}: ${reason}`, { hint: `It is kept at ${output.path}.` })
  }
}
