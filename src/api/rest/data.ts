import { z } from 'zod'
import { validateDataSchema } from '../operations/data.js'
import { toJson } from './json.js'
import { countOf, listOf, message, objectOf, textOf } from './json-schema.js'
import { required, text, wholeNumber } from './query.js'
import { get, post, postAsIs, postBytes, remove } from './route.js'

/** Data sources, uploaded data sets, and the copies that nodes keep. */
export const dataRoutes = [
  postAsIs(
    '/data/validate',
    {
      summary: 'Read data sources as a job would',
      description:
        'Says of each source whether it is readable, how many records and tokens it holds, a sample, and its problems with their line numbers.',
      body: validateDataSchema,
      data: objectOf({ sources: listOf(message('SourceReport')) }),
    },
    async ({ operations, caller }, body) => {
      const sources = await operations.data.validate(caller, body)
      return { data: { sources: sources.map((source) => toJson('SourceReport', source)) } }
    },
  ),

  get(
    '/data/cache',
    { summary: 'The copies of data sets that nodes keep', data: objectOf({ datasets: listOf(message('CachedDataset')) }) },
    async ({ operations, caller }) => {
      const datasets = await operations.data.cache(caller)
      return { data: { datasets: datasets.map((dataset) => toJson('CachedDataset', dataset)) } }
    },
  ),

  post(
    '/data/cache/{id}',
    {
      summary: 'Copy a data set to nodes before a job needs it',
      body: z.strictObject({
        nodes: z.array(z.string()).max(1000).optional().describe('Default: all nodes.'),
        pin: z.boolean().optional().describe('Keep the copies until they are evicted. Default false.'),
      }),
      data: message('CachedDataset'),
    },
    async ({ operations, caller, id }, { nodes, pin }) => ({
      data: toJson('CachedDataset', await operations.data.prefetch(caller, id, { nodes, pin })),
    }),
  ),

  remove(
    '/data/cache/{id}',
    { summary: 'Delete the copies of a data set', data: objectOf({ bytes_freed: countOf('Bytes that are free now.') }) },
    async ({ operations, caller, id }) => ({
      data: toJson('EvictDatasetResponse', { bytes_freed: (await operations.data.evict(caller, id)).bytesFreed }),
    }),
  ),

  get(
    '/datasets',
    {
      summary: 'A page of uploaded data sets, newest first',
      query: {
        content_hash: text.describe('Only the data set with these contents.'),
        page_size: wholeNumber(1, 100).describe('Default 20.'),
        page_token: text.describe('`next_page_token` of the page before.'),
      },
      data: objectOf({
        datasets: listOf(message('Dataset')),
        next_page_token: textOf('Empty on the last page.'),
        total_count: countOf('Data sets in all.'),
      }),
    },
    async ({ operations, caller }, query) => {
      const { datasets, nextPageToken, totalCount } = await operations.data.datasets(caller, {
        contentHash: query.content_hash,
        pageSize: query.page_size,
        pageToken: query.page_token,
      })
      return { data: { datasets: datasets.map((one) => toJson('Dataset', one)), next_page_token: nextPageToken, total_count: totalCount } }
    },
  ),

  postBytes(
    '/datasets',
    {
      summary: 'Upload a data set',
      description:
        'The body is the file itself, in any media type; it is hashed while it streams and stored once however often it is sent. A record that is not usable is refused with its line number.',
      status: 201,
      query: {
        name: required(text).describe('Its name, 1 to 255 characters. Required.'),
        format: text.describe('`jsonl`, `txt`, …; default: from the name.'),
      },
      data: message('Dataset'),
    },
    async ({ operations, caller }, content, { name, format }) => ({
      status: 201,
      data: toJson('Dataset', await operations.data.upload(caller, { name, format: format ?? null, content })),
    }),
  ),

  get('/datasets/{id}', { summary: 'An uploaded data set', data: message('Dataset') }, async ({ operations, caller, id }) => ({
    data: toJson('Dataset', await operations.data.dataset(caller, id)),
  })),
]
