import { InvalidInput } from '../../../contract/failure.js'
import type { Prisma, RegisteredModel } from '../../../generated/prisma/coordinator/client.js'
import type { ListRegisteredModelsRequest__Output } from '../../../generated/proto/scaimind/v1/ListRegisteredModelsRequest.js'
import type { ListRegisteredModelsResponse__Output } from '../../../generated/proto/scaimind/v1/ListRegisteredModelsResponse.js'
import type { Database } from '../records/database.js'
import { toModelMessage } from './registry.js'

const pageSizeMax = 100
const pageSizeDefault = 20

/** A page of a tenant's registered models, the last registered first. Throws InvalidInput. */
export async function listRegisteredModels(
  { database, dataDir }: { database: Database; dataDir: string },
  tenantId: string,
  request: ListRegisteredModelsRequest__Output,
): Promise<ListRegisteredModelsResponse__Output> {
  const { page_size: asked, page_token: token, name, job_id: jobId, current_only: currentOnly, registered_model_ids: ids } = request
  if (asked > pageSizeMax) refuse('page_size', `A page has 1 to ${pageSizeMax} models, not ${asked}.`)
  if (ids.length > pageSizeMax) refuse('registered_model_ids', `At most ${pageSizeMax} models can be named, not ${ids.length}.`)
  const size = asked || pageSizeDefault
  const where: Prisma.RegisteredModelWhereInput = {
    tenantId,
    deleting: false,
    ...(name === '' ? {} : { name }),
    ...(jobId === '' ? {} : { jobId }),
    ...(currentOnly ? { current: true } : {}),
    ...(ids.length === 0 ? {} : { registeredModelId: { in: ids } }),
  }
  const [rows, total] = await Promise.all([
    database.registeredModel.findMany({
      where: token === '' ? where : { AND: [where, beyond(token)] },
      orderBy: [{ registeredAt: 'desc' }, { registeredModelId: 'desc' }],
      take: size + 1,
    }),
    database.registeredModel.count({ where }),
  ])
  const shown = rows.slice(0, size)
  const last = rows.length > size ? shown.at(-1) : undefined
  return {
    models: shown.map((row) => toModelMessage(row, dataDir)),
    next_page_token: last ? formatToken(last) : '',
    total_count: String(total),
  }
}

const formatToken = ({ registeredAt, registeredModelId }: RegisteredModel) =>
  Buffer.from(JSON.stringify([registeredAt.getTime(), registeredModelId])).toString('base64url')

function beyond(token: string): Prisma.RegisteredModelWhereInput {
  try {
    const [time, id] = JSON.parse(Buffer.from(token, 'base64url').toString()) as unknown[]
    if (typeof time === 'number' && typeof id === 'string') {
      const registeredAt = new Date(time)
      return { OR: [{ registeredAt: { lt: registeredAt } }, { registeredAt, registeredModelId: { lt: id } }] }
    }
  } catch {
    // Refused below.
  }
  return refuse('page_token', 'This is not a page token; pass next_page_token of the page before.')
}

function refuse(path: string, message: string): never {
  throw new InvalidInput([{ path, message }], 'INVALID_ARGUMENT')
}
