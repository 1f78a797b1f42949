import { afterAll, beforeAll, expect, it } from 'vitest'
import { type ApiUnderTest, startApiUnderTest } from '../../support/api.js'

let under: ApiUnderTest

beforeAll(async () => {
  under = await startApiUnderTest()
})
afterAll(() => under?.close())

it.each([
  ['DateTime', 'query ($v: DateTime) { jobs(filter: { createdAfter: $v }) { totalCount } }', 'yesterday', '2026-11-21T22:28:04Z'],
  ['BigInt', seedOf('BigInt'), '12.5', '9007199254740993'],
  ['Upload', 'mutation ($v: Upload!) { uploadDataset(file: $v) { __typename } }', 'a text', null],
])('a value that is no %s is refused with what would be right', async (_type, query, wrong, right) => {
  const tenant = await under.tenant()
  const { errors } = await tenant.graphql(query, { v: wrong })
  expect(errors?.[0]?.extensions.code).toBe('VALIDATION_ERROR')
  expect(errors?.[0]?.message).toMatch(/A DateTime reads|A BigInt is|An Upload is/)
  if (right !== null) expect((await tenant.graphql(query, { v: right })).errors).toBeUndefined()
})

it.each([
  ['DateTime', '2026-11-21T22:28:04', 'without an offset'],
  ['DateTime', '2026-02-30T00:00:00Z', 'of a day that there is not'],
  ['BigInt', '9223372036854775808', 'of 65 bits'],
  ['BigInt', '-9223372036854775809', 'of 65 bits, below 0'],
])('a %s %s is refused: it is one %s', async (type, value) => {
  const tenant = await under.tenant()
  const query = type === 'DateTime' ? 'query ($v: DateTime) { jobs(filter: { createdAfter: $v }) { totalCount } }' : seedOf('BigInt')
  expect((await tenant.graphql(query, { v: value })).errors?.[0]?.extensions.code).toBe('VALIDATION_ERROR')
})

it('a time is taken with any offset, and the largest whole numbers of 64 bits are', async () => {
  const tenant = await under.tenant()
  const createdAfter = 'query ($v: DateTime) { jobs(filter: { createdAfter: $v }) { totalCount } }'
  for (const v of ['2026-11-21T23:28:04.5+01:00', '2028-02-29T00:00:00Z'])
    expect((await tenant.graphql(createdAfter, { v })).errors).toBeUndefined()
  for (const v of ['9223372036854775807', '-9223372036854775808'])
    expect((await tenant.graphql(seedOf('BigInt'), { v })).errors).toBeUndefined()
})

function seedOf(type: string): string {
  return `mutation ($v: ${type}) { submitJob(dryRun: true, input: {
    name: "a", trainingConfig: { trainingType: LORA, baseModel: { modelId: "m" } }, dataConfig: { sources: [{ path: "x" }], seed: $v }, resourceConfig: {}
  }) { __typename } }`
}
