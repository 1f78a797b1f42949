import { stat } from 'node:fs/promises'
import { InvalidInput } from '../../contract/failure.js'
import type { SourceReport__Output } from '../../generated/proto/scaimind/v1/SourceReport.js'
import type { ValidateSourcesRequest__Output } from '../../generated/proto/scaimind/v1/ValidateSourcesRequest.js'
import { resolveAllowedPath } from './allowed-paths.js'
import { type Inspection, inspectSources } from './inspect.js'
import { hashFile } from './line-hash.js'
import type { NodeCache } from './node-cache.js'
import { formatOfSource } from './source-format.js'
import type { TrainerSettings } from './trainer.js'

/** What reading sources needs. */
export interface SourcesOptions {
  dataRoots: string[]
  trainer: TrainerSettings
  cache: NodeCache
}

const sourcesMax = 100

/**
 * Reads sources as a job would, and reports on each in their order: what cannot be read is a report too. Throws InvalidInput where nothing is asked. A
 * report never tells whether a file outside the tenant's folders exists.
 */
export async function validateSources(
  tenantId: string,
  { sources, preprocess, training_type: trainingType }: ValidateSourcesRequest__Output,
  { dataRoots, trainer, cache }: SourcesOptions,
): Promise<SourceReport__Output[]> {
  if (sources.length === 0) throw new InvalidInput([{ path: 'sources', message: 'Name at least one source.' }], 'INVALID_ARGUMENT')
  if (sources.length > sourcesMax) {
    throw new InvalidInput([{ path: 'sources', message: `At most ${sourcesMax} sources, not ${sources.length}.` }], 'INVALID_ARGUMENT')
  }
  const located = await Promise.all(sources.map(unlessUnchecked))
  const found = located.flatMap(({ path }, index) => (path === null ? [] : [{ path, index }]))
  const inspections = await inspectSources(
    found.map(({ path, index }) => ({
      path,
      format: sources[index]?.format ?? '',
      field_mapping: preprocess?.field_mapping ?? {},
      training_type: trainingType,
    })),
    trainer,
  )
  return await Promise.all(
    sources.map(async ({ path: named, format }, index) => {
      const { path, problem } = located[index] ?? { path: null, problem: '' }
      const inspection = inspections[found.findIndex((one) => one.index === index)]
      if (path === null || !inspection) return toReport(named, unreadable(problem), { bytes: 0, contentHash: '' })
      if (!inspection.readable) return toReport(named, inspection, { bytes: 0, contentHash: '' })
      const [{ size: bytes }, { contentHash }] = await Promise.all([stat(path), hashFile(path, format)])
      return toReport(named, inspection, { bytes, contentHash })
    }),
  )

  /** Where a source is, unless it is one that is read by nothing but the trainer itself. */
  async function unlessUnchecked(source: { path: string; type: string; format: string }): Promise<Located> {
    if (source.type === 'huggingface') return { path: null, problem: notChecked('A data set on a hub is fetched by the job', 'PREPARING') }
    const place = await locate(source.path, source.type)
    const format = formatOfSource(source)
    if (place.path === null || format === null || format === 'jsonl' || format === 'txt') return place
    return { path: null, problem: notChecked(`${format} is read by the trainer for HuggingFace models`, 'submitted') }
  }

  async function locate(path: string, type: string): Promise<Located> {
    if (type === 'dataset') {
      const file = await cache.fileFor(tenantId, path, [])
      return { path: file, problem: `There is no data set ${JSON.stringify(path.slice(0, 64))}.` }
    }
    try {
      return { path: await resolveAllowedPath({ path, tenantId, dataRoots, field: 'path' }), problem: '' }
    } catch (error) {
      if (!(error instanceof InvalidInput)) throw error
      return { path: null, problem: error.fields[0]?.message ?? error.message }
    }
  }
}

/** The real path of a source; null: there is none to read, and why. */
interface Located {
  path: string | null
  problem: string
}

const notChecked = (why: string, when: string) => `${why}; nothing of it was checked here. Its records are checked when the job is ${when}.`

const unreadable = (message: string): Inspection => ({
  readable: false,
  records: 0,
  tokens: 0,
  sample: '',
  problems: [{ line: 0, message }],
})

function toReport(
  path: string,
  { readable, records, tokens, sample, problems }: Inspection,
  { bytes, contentHash }: { bytes: number; contentHash: string },
): SourceReport__Output {
  return {
    path,
    readable,
    records: String(records),
    tokens_estimate: String(tokens),
    sample,
    problems: problems.map(({ line, message }) => ({ line: String(line), message })),
    content_hash: contentHash,
    bytes: String(bytes),
  }
}
