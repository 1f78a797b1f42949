import { Failure } from '../../contract/failure.js'
import type { Caller } from '../auth/viewer.js'
import { allow, type UseCaseName } from '../auth/who-may.js'
import type { CoordinatorClient } from '../coordinator-client/index.js'
import type { ModelOperations } from './model-types.js'
import { pageByToken } from './token-page.js'

/** The use cases of registered models. */
export function modelOperations({ coordinator }: { coordinator: CoordinatorClient }): ModelOperations {
  function prepare({ viewer, requestId }: Caller, useCase: UseCaseName) {
    allow(viewer, useCase)
    return { tenantId: viewer.tenantId, userId: viewer.userId, requestId }
  }

  return {
    async get(caller, id) {
      const context = prepare(caller, 'readModels')
      return coordinator.call('GetRegisteredModel', { registered_model_id: checked(id) }, context)
    },

    async getMany(caller, ids) {
      const context = prepare(caller, 'readModels')
      const { models } = await coordinator.call('ListRegisteredModels', { registered_model_ids: [...ids], page_size: 100 }, context)
      return ids.map((id) => models.find(({ registered_model_id }) => registered_model_id === id) ?? null)
    },

    list(caller, { filter: { name = '', jobId = '', currentOnly = false } = {}, page }) {
      const context = prepare(caller, 'readModels')
      const wanted = { name, job_id: jobId, current_only: currentOnly }
      return pageByToken(
        {
          async list(pageToken, pageSize) {
            const request = { ...wanted, page_size: pageSize, page_token: pageToken }
            const { models, next_page_token, total_count } = await coordinator.call('ListRegisteredModels', request, context)
            return { items: models, nextPageToken: next_page_token, totalCount: Number(total_count) }
          },
          idOf: ({ registered_model_id }) => registered_model_id,
          noun: 'registered model',
        },
        page,
      )
    },

    async delete(caller, id) {
      const context = prepare(caller, 'deleteModels')
      return coordinator.call('DeleteRegisteredModel', { registered_model_id: checked(id) }, context)
    },
  }
}

/** An id that cannot exist is answered like one that does not; whether this one does, only the coordinator knows. */
function checked(id: string): string {
  if (/^[\x21-\x7e]{1,128}$/.test(id)) return id
  throw new Failure('MODEL_NOT_FOUND', `There is no registered model ${JSON.stringify(id.slice(0, 64))}.`)
}
