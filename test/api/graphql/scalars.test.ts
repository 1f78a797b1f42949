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

function seedOf(type: string): string {
  return `mutation ($v: ${type}) { submitJob(dryRun: true, input: {
    name: "a", trainingConfig: { trainingType: LORA, baseModel: { modelId: "m" } }, dataConfig: { sources: [{ path: "x" }], seed: $v }, resourceConfig: {}
  }) { __typename } }`
}
