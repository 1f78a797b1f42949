import { stat } from 'node:fs/promises'
import type { Database } from '../records/database.js'
import { type JobRecord, specOf } from '../records/record.js'
import type { Spec } from '../records/spec.js'

/** Finished jobs that are looked at: of the same work a tenant has seldom more. */
const candidatesMax = 20

/**
 * The tenant's newest finished job that has done a submission's work already: of the same content, not archived, with an output that is still there and is what the submission asks
 * for. Null where there is none, or where the content is not known.
 */
export async function findReusable(
  database: Database,
  { spec, tenantId, contentHash }: { spec: Spec; tenantId: string; contentHash: string },
): Promise<JobRecord | null> {
  if (contentHash === '') return null
  const candidates = await database.job.findMany({
    where: { tenantId, contentHash, status: 'COMPLETED', isEvaluation: false, archivedAt: null, output: { not: null } },
    orderBy: { finishedAt: 'desc' },
    take: candidatesMax,
    include: { attempts: { orderBy: { number: 'asc' } } },
  })
  for (const job of candidates)
    if (hasWhatIsAsked(specOf(job), spec) && (await hasOutput(job)) && (await hasModel(database, job, spec))) return job
  return null
}

/** Whether a job's output is of the form, and where they are named at the place and under the name, that a submission asks for. */
function hasWhatIsAsked({ output_config: its }: Spec, { output_config: asked }: Spec): boolean {
  const format = (config: typeof its) => config.export_format || 'safetensors'
  const isAt = (place: 'output_uri' | 'register_as') => asked[place] === '' || asked[place] === its[place]
  return its.merge_adapter === asked.merge_adapter && format(its) === format(asked) && isAt('output_uri') && isAt('register_as')
}

/** Whether the model that a submission would register is registered still; a job that left none to register would leave none again. */
async function hasModel(database: Database, { tenantId, output }: JobRecord, { output_config: asked }: Spec): Promise<boolean> {
  const { registered_model_id: registeredModelId } = JSON.parse(output ?? '{}') as { registered_model_id?: string }
  if (asked.register_as === '' || !registeredModelId) return true
  return (await database.registeredModel.count({ where: { tenantId, registeredModelId, deleting: false } })) > 0
}

async function hasOutput({ output }: JobRecord): Promise<boolean> {
  const { path } = JSON.parse(output ?? '{}') as { path?: string }
  return await stat(path ?? '').then(
    () => true,
    () => false,
  )
}
