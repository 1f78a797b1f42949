import { z } from 'zod'
import { Failure } from '../../contract/failure.js'
import { trainingTypes } from '../../contract/statuses.js'
import type { ValidateSourcesRequest } from '../../generated/proto/scaimind/v1/ValidateSourcesRequest.js'
import type { Caller } from '../auth/viewer.js'
import { allow, type UseCaseName } from '../auth/who-may.js'
import type { CoordinatorClient } from '../coordinator-client/index.js'
import type { DataOperations } from './data-types.js'
import { dataSourceSchema, preprocessSchema } from './job-spec.js'
import { pageSizeDefault, pageSizeMax, pageSizeProblem } from './paging.js'
import { parseInput } from './parse.js'
import { pageByToken } from './token-page.js'

/** Sources to look at: proto `ValidateSourcesRequest`. */
export const validateDataSchema = z.strictObject({
  sources: z.array(dataSourceSchema).min(1, 'Name at least one source').max(100, 'At most 100 sources at once'),
  preprocess: preprocessSchema.optional(),
  training_type: z.enum(trainingTypes).optional(),
})
const descriptionSchema = z.object({
  name: z.string().regex(/^\P{Cc}{1,255}$/u, 'A name has 1 to 255 characters, none of them a control character'),
  format: z.string().max(32).default(''),
})
const prefetchSchema = z.object({
  nodes: z.array(z.string().min(1).max(255)).max(1000).default([]),
  pin: z.boolean().default(false),
})

/** The use cases of data. */
export function dataOperations({ coordinator }: { coordinator: CoordinatorClient }): DataOperations {
  function prepare({ viewer, requestId }: Caller, useCase: UseCaseName) {
    allow(viewer, useCase)
    return { tenantId: viewer.tenantId, userId: viewer.userId, requestId }
  }

  const operations: DataOperations = {
    async validate(caller, input) {
      const context = prepare(caller, 'validateData')
      const request = parseInput(validateDataSchema, input) as ValidateSourcesRequest
      return (await coordinator.call('ValidateSources', request, context)).sources
    },

    async upload(caller, { name, format, content }) {
      const context = prepare(caller, 'uploadDataset')
      return coordinator.upload(parseInput(descriptionSchema, { name, format }), content, context)
    },

    async dataset(caller, datasetId) {
      const context = prepare(caller, 'readDatasets')
      return coordinator.call('GetDataset', { dataset_id: checked(datasetId) }, context)
    },

    async datasets(caller, { pageSize = pageSizeDefault, pageToken = '', contentHash = '' } = {}) {
      const context = prepare(caller, 'readDatasets')
      if (!Number.isInteger(pageSize) || pageSize < 1 || pageSize > pageSizeMax) throw pageSizeProblem('page_size')
      const request = { page_size: pageSize, page_token: pageToken, content_hash: contentHash }
      const { datasets, next_page_token, total_count } = await coordinator.call('ListDatasets', request, context)
      return { datasets, nextPageToken: next_page_token, totalCount: Number(total_count) }
    },

    datasetPage: (caller, { contentHash, page }) =>
      pageByToken(
        {
          async list(pageToken, pageSize) {
            const { datasets: items, ...rest } = await operations.datasets(caller, { pageToken, pageSize, contentHash })
            return { items, ...rest }
          },
          idOf: ({ dataset_id }) => dataset_id,
          noun: 'data set',
        },
        page,
      ),

    async cache(caller) {
      const context = prepare(caller, 'readDataCache')
      return (await coordinator.call('ListDataCache', {}, context)).datasets
    },

    async prefetch(caller, datasetId, { nodes, pin } = {}) {
      const context = prepare(caller, 'prefetchData')
      const request = { dataset_id: checked(datasetId), ...parseInput(prefetchSchema, { nodes, pin }) }
      return coordinator.call('PrefetchDataset', request, context)
    },

    async evict(caller, datasetId) {
      const context = prepare(caller, 'evictData')
      const { bytes_freed } = await coordinator.call('EvictDataset', { dataset_id: checked(datasetId) }, context)
      return { bytesFreed: bytes_freed }
    },
  }
  return operations
}

/** An id that cannot exist is answered like one that does not; whether this one does, only the coordinator knows. */
function checked(datasetId: string): string {
  if (/^[\x21-\x7e]{1,128}$/.test(datasetId)) return datasetId
  throw new Failure('DATASET_NOT_FOUND', `There is no data set ${JSON.stringify(datasetId.slice(0, 64))}.`)
}
