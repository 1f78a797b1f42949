import type { JobFailure__Output } from '../../../generated/proto/scaimind/v1/JobFailure.js'
import type { RegisteredModel__Output } from '../../../generated/proto/scaimind/v1/RegisteredModel.js'
import { outputModels, stillWanted } from '../models/models-of-job.js'
import { ModelNotCopied, type ModelRegistry } from '../models/registry.js'
import type { JobRecord } from '../records/record.js'
import type { JobSettings } from '../records/settings.js'
import { ownFailure } from './failure.js'

/** What came of registering a job's output. */
export interface Registration {
  /** The models, by the folder that each was copied from; empty where nothing was to be registered, or the job is to stop after all. */
  registered: Map<string, RegisteredModel__Output>
  /** Why it could not be done; else null. */
  failure: JobFailure__Output | null
}

/** Registers the models of an attempt that did its work under the name that the submission gave. Safe to repeat: what is registered already stays as it is. */
export async function registerOutput(
  job: JobRecord,
  { number, settings, models }: { number: number; settings: JobSettings; models: ModelRegistry },
): Promise<Registration> {
  const registered: Registration['registered'] = new Map()
  for (const model of await outputModels(job, number, settings)) {
    try {
      const done = await models.register(model, stillWanted(job.jobId, number))
      if (done) registered.set(model.source, done)
    } catch (error) {
      if (!(error instanceof ModelNotCopied)) throw error
      const hint = `The output is kept at ${model.source}.`
      return {
        registered,
        failure: ownFailure('UNKNOWN', `The output could not be registered as ${model.name}: ${error.message}`, { hint }),
      }
    }
  }
  return { registered, failure: null }
}
