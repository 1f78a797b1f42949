import { join } from 'node:path'
import { Failure, InvalidInput } from '../../contract/failure.js'
import { newId } from '../../contract/ids.js'
import { toTimestamp } from '../../contract/proto.js'
import type { Dataset } from '../../generated/prisma/coordinator/client.js'
import type { Dataset__Output } from '../../generated/proto/scaimind/v1/Dataset.js'
import type { ListDatasetsRequest__Output } from '../../generated/proto/scaimind/v1/ListDatasetsRequest.js'
import type { ListDatasetsResponse__Output } from '../../generated/proto/scaimind/v1/ListDatasetsResponse.js'
import { type Database, transact } from '../jobs/records/database.js'
import { datasetFormat, datasetFormats } from './dataset-records.js'
import type { Uploads } from './upload.js'

/** What data sets are built on. */
export interface DatasetsOptions {
  database: Database
  uploads: Uploads
  /** Data sets lie in `<dataDir>/tenants/<tenant>/datasets`. */
  dataDir: string
  clock: () => Date
}

const pageSizeMax = 100
const pageSizeDefault = 20
const controlCharacters = /\p{Cc}/u

/** The uploaded data sets: each tenant's own, each content of a tenant once. */
export function datasets({ database, uploads, dataDir, clock }: DatasetsOptions) {
  const pathOf = ({ tenantId, contentHash, format }: Pick<Dataset, 'tenantId' | 'contentHash' | 'format'>) =>
    join(dataDir, 'tenants', tenantId, 'datasets', `${contentHash.replace(':', '-')}.${format}`)

  async function find(tenantId: string, datasetId: string): Promise<Dataset | null> {
    const row = await database.dataset.findUnique({ where: { datasetId: datasetId.slice(0, 40) } })
    return row?.tenantId === tenantId ? row : null
  }

  async function require(tenantId: string, datasetId: string): Promise<Dataset> {
    const row = await find(tenantId, datasetId)
    if (!row) throw new Failure('DATASET_NOT_FOUND', `There is no data set ${JSON.stringify(datasetId.slice(0, 64))}.`)
    return row
  }

  return {
    pathOf,
    find,
    /** Throws DATASET_NOT_FOUND. */
    require,

    /**
     * Receives a data set. What the tenant has already, by content, answers the first. Throws InvalidInput for a wrong name or format and for the first
     * record that is not usable, PAYLOAD_TOO_LARGE, or what the content throws.
     */
    async upload(
      { tenantId, userId }: { tenantId: string; userId: string },
      { name, format: given }: { name: string; format: string },
      content: AsyncIterable<Buffer>,
    ): Promise<Dataset> {
      const format = datasetFormat(given, name)
      const problems = [
        ...(name === '' || name.length > 255 || controlCharacters.test(name)
          ? [{ path: 'name', message: 'A name has 1 to 255 characters, none of them a control character.' }]
          : []),
        ...(format
          ? []
          : [{ path: 'format', message: `Data sets are ${datasetFormats.join(', ')}; give one, or a name that ends in it.` }]),
      ]
      if (problems.length > 0 || !format) throw new InvalidInput(problems, 'INVALID_ARGUMENT')
      const received = await uploads.receive(content, format)
      const { contentHash, records, bytes, tokensEstimate, sample } = received
      const first = await database.dataset.findUnique({ where: { tenantId_contentHash: { tenantId, contentHash } } })
      // The file before the row: a row always has its file, and a file without a row is found again by the next upload.
      await received.keepAs(pathOf({ tenantId, contentHash, format: first?.format ?? format }))
      if (first) return first
      const row = {
        datasetId: newId('ds', clock().getTime()),
        tenantId,
        userId: userId.slice(0, 255),
        name,
        format,
        bytes: BigInt(bytes),
        records: BigInt(records),
        tokensEstimate: BigInt(tokensEstimate),
        contentHash,
        sample,
        createdAt: clock(),
      }
      // Of two at once with the same content, one makes the row and both are answered it.
      await transact(database, (tx) => tx.dataset.createMany({ data: [row], skipDuplicates: true }))
      return await database.dataset.findUniqueOrThrow({ where: { tenantId_contentHash: { tenantId, contentHash } } })
    },

    /** A page, newest first. */
    async list(
      tenantId: string,
      { page_size: asked, page_token: token, content_hash: contentHash }: ListDatasetsRequest__Output,
    ): Promise<ListDatasetsResponse__Output> {
      if (asked > pageSizeMax) refuse('page_size', `A page has 1 to ${pageSizeMax} data sets, not ${asked}.`)
      const size = asked || pageSizeDefault
      const where = { tenantId, ...(contentHash === '' ? {} : { contentHash }) }
      const place = token === '' ? null : parseToken(token)
      const beyond = place && {
        OR: [{ createdAt: { lt: place.createdAt } }, { createdAt: place.createdAt, datasetId: { lt: place.datasetId } }],
      }
      const [rows, total] = await Promise.all([
        database.dataset.findMany({
          where: beyond ? { AND: [where, beyond] } : where,
          orderBy: [{ createdAt: 'desc' }, { datasetId: 'desc' }],
          take: size + 1,
        }),
        database.dataset.count({ where }),
      ])
      const shown = rows.slice(0, size)
      const last = rows.length > size ? shown.at(-1) : undefined
      return { datasets: shown.map(toDatasetMessage), next_page_token: last ? formatToken(last) : '', total_count: String(total) }
    },
  }
}

/** The uploaded data sets. */
export type Datasets = ReturnType<typeof datasets>

/** The data set as `scaimind.v1` has it. */
export function toDatasetMessage(row: Dataset): Dataset__Output {
  return {
    dataset_id: row.datasetId,
    tenant_id: row.tenantId,
    name: row.name,
    format: row.format,
    bytes: String(row.bytes),
    records: String(row.records),
    content_hash: row.contentHash,
    created_at: toTimestamp(row.createdAt),
    user_id: row.userId,
    tokens_estimate: String(row.tokensEstimate),
    sample: row.sample,
  }
}

const formatToken = ({ createdAt, datasetId }: Dataset) =>
  Buffer.from(JSON.stringify([createdAt.getTime(), datasetId])).toString('base64url')

function parseToken(text: string): { createdAt: Date; datasetId: string } {
  try {
    const [time, datasetId] = JSON.parse(Buffer.from(text, 'base64url').toString()) as unknown[]
    if (typeof time === 'number' && typeof datasetId === 'string') return { createdAt: new Date(time), datasetId }
  } catch {
    // Refused below.
  }
  return refuse('page_token', 'This is not a page token; pass next_page_token of the page before.')
}

function refuse(path: string, message: string): never {
  throw new InvalidInput([{ path, message }], 'INVALID_ARGUMENT')
}
