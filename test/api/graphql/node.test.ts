import { isObjectType } from 'graphql'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { nodeTypes } from '../../../src/api/graphql/ids.js'
import { schema } from '../../../src/api/graphql/schema.js'
import { type ApiUnderTest, eventually, startApiUnderTest, type TenantUnderTest } from '../../support/api.js'

let under: ApiUnderTest
let tenant: TenantUnderTest

beforeAll(async () => {
  under = await startApiUnderTest()
  tenant = await under.tenant()
})
afterAll(() => under?.close())

const globalId = (text: string) => Buffer.from(text).toString('base64')

/** Ids that name nothing: of no type, of one that has no ids, of things that there are not. */
const nothings = ['', '%%%', 'null', 'job_01arz3ndektsv4rrffq69g5fav']
  .concat(['Job:', 'Nope:1', 'Query:1', 'ApiKey:1', 'constructor:1', '__Schema:1'].map(globalId))
  .concat(nodeTypes.map((type) => globalId(`${type}:nothing`)))

describe('node and nodes', () => {
  it('know the types that implement Node, and no others', () => {
    const implementing = Object.values(schema.getTypeMap()).filter(
      (type) => isObjectType(type) && type.getInterfaces().some(({ name }) => name === 'Node'),
    )
    expect(implementing.map(({ name }) => name).sort()).toEqual([...nodeTypes].sort())
  })

  it.each(nothings)('answer null for the id %j, which names nothing', async (id) => {
    const { data, errors } = await tenant.graphql('query ($id: ID!) { node(id: $id) { id } nodes(ids: [$id]) { id } }', { id })
    expect([data, errors]).toEqual([{ node: null, nodes: [null] }, undefined])
  })

  it('an id that names nothing leaves the others as they are, in their order', async () => {
    const { job_id } = under.stub.addJob(tenant.id)
    const id = globalId(`Job:${job_id}`)
    const foreign = globalId(`Job:${under.stub.addJob((await under.tenant()).id).job_id}`)
    const ask = () =>
      tenant.graphql('query ($ids: [ID!]!) { nodes(ids: $ids) { id } }', { ids: ['%', id, foreign, globalId('Nope:1'), id] })
    const { data } = await eventually(ask, ({ data }) => data.nodes[1] !== null)
    expect(data.nodes).toEqual([null, { id }, null, null, { id }])
  })
})
