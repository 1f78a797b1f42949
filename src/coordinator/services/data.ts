import { InvalidInput } from '../../contract/failure.js'
import type { EvictDatasetRequest__Output } from '../../generated/proto/scaimind/v1/EvictDatasetRequest.js'
import type { GetDatasetRequest__Output } from '../../generated/proto/scaimind/v1/GetDatasetRequest.js'
import type { ListDataCacheRequest__Output } from '../../generated/proto/scaimind/v1/ListDataCacheRequest.js'
import type { ListDatasetsRequest__Output } from '../../generated/proto/scaimind/v1/ListDatasetsRequest.js'
import type { PrefetchDatasetRequest__Output } from '../../generated/proto/scaimind/v1/PrefetchDatasetRequest.js'
import type { UploadDatasetRequest__Output } from '../../generated/proto/scaimind/v1/UploadDatasetRequest.js'
import type { UploadDescription__Output } from '../../generated/proto/scaimind/v1/UploadDescription.js'
import type { ValidateSourcesRequest__Output } from '../../generated/proto/scaimind/v1/ValidateSourcesRequest.js'
import { type Datasets, toDatasetMessage } from '../data/datasets.js'
import type { NodeCache } from '../data/node-cache.js'
import { validateSources } from '../data/sources.js'
import type { TrainerSettings } from '../data/trainer.js'
import { type Methods, receiving, unary } from './handlers.js'

/** What the methods work on. */
export interface DataParts {
  datasets: Datasets
  cache: NodeCache
  dataRoots: string[]
  trainer: TrainerSettings
}

/** `DataService`. */
export function dataMethods({ datasets, cache, dataRoots, trainer }: DataParts): Methods {
  return {
    UploadDataset: receiving(async (messages: AsyncIterable<UploadDatasetRequest__Output>, caller) => {
      const { description, content } = await split(messages)
      return toDatasetMessage(await datasets.upload(caller, description, content))
    }),
    GetDataset: unary(async ({ dataset_id: id }: GetDatasetRequest__Output, { tenantId }) =>
      toDatasetMessage(await datasets.require(tenantId, id)),
    ),
    ListDatasets: unary((request: ListDatasetsRequest__Output, { tenantId }) => datasets.list(tenantId, request)),
    ValidateSources: unary(async (request: ValidateSourcesRequest__Output, { tenantId }) => ({
      sources: await validateSources(tenantId, request, { dataRoots, trainer, cache }),
    })),
    ListDataCache: unary(async (_: ListDataCacheRequest__Output, { tenantId }) => ({ datasets: await cache.list(tenantId) })),
    PrefetchDataset: unary(({ dataset_id: datasetId, nodes: nodeIds, pin }: PrefetchDatasetRequest__Output, { tenantId }) =>
      cache.prefetch(tenantId, { datasetId, nodeIds, pin }),
    ),
    EvictDataset: unary(async ({ dataset_id: id }: EvictDatasetRequest__Output, { tenantId }) => ({
      bytes_freed: String(await cache.evict(tenantId, id)),
    })),
  }
}

/** The description in the first message, and the bytes of all others. */
async function split(
  messages: AsyncIterable<UploadDatasetRequest__Output>,
): Promise<{ description: UploadDescription__Output; content: AsyncIterable<Buffer> }> {
  const iterator = messages[Symbol.asyncIterator]()
  const first = await iterator.next()
  const description = first.done ? null : first.value.description
  if (!description) refuse('The first message holds the description: name and format.')
  async function* content(): AsyncGenerator<Buffer> {
    for (let next = await iterator.next(); !next.done; next = await iterator.next()) {
      if (next.value.description) refuse('The description comes once, first; all other messages hold bytes.')
      yield next.value.chunk ?? Buffer.alloc(0)
    }
  }
  return { description, content: content() }
}

function refuse(message: string): never {
  throw new InvalidInput([{ path: 'description', message }], 'INVALID_ARGUMENT')
}
