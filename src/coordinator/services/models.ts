import type { DeleteRegisteredModelRequest__Output } from '../../generated/proto/scaimind/v1/DeleteRegisteredModelRequest.js'
import type { GetRegisteredModelRequest__Output } from '../../generated/proto/scaimind/v1/GetRegisteredModelRequest.js'
import type { ListRegisteredModelsRequest__Output } from '../../generated/proto/scaimind/v1/ListRegisteredModelsRequest.js'
import { listRegisteredModels } from '../jobs/models/list.js'
import type { ModelRegistry } from '../jobs/models/registry.js'
import type { Database } from '../jobs/records/database.js'
import { type Methods, unary } from './handlers.js'

/** What the methods work on. */
export interface ModelParts {
  models: ModelRegistry
  database: Database
  dataDir: string
}

/** `ModelService`. */
export function modelMethods({ models, ...listed }: ModelParts): Methods {
  return {
    GetRegisteredModel: unary(({ registered_model_id: id }: GetRegisteredModelRequest__Output, { tenantId }) => models.get(tenantId, id)),
    ListRegisteredModels: unary((request: ListRegisteredModelsRequest__Output, { tenantId }) =>
      listRegisteredModels(listed, tenantId, request),
    ),
    DeleteRegisteredModel: unary(({ registered_model_id: id }: DeleteRegisteredModelRequest__Output, { tenantId }) =>
      models.delete(tenantId, id),
    ),
  }
}
