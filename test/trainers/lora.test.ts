import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { submit, untilStatus } from '../support/jobs.js'
import { keepOnFailure, type Stack, startStack } from '../support/stack.js'
import { hfSettings, tinyLlama, tinyLlamaInput } from '../support/tiny-llama.js'

let stack: Stack

beforeAll(async () => {
  stack = await startStack(hfSettings)
})
afterAll(() => stack?.close())

interface Ended {
  output: { kind: string; path: string }
  metrics: { points: { value: number }[] }[]
}

describe('A model of HuggingFace', () => {
  it("is given an adapter by a LORA job: its loss falls, and the output is a folder of peft's", async () => {
    keepOnFailure(stack)
    const tenant = await stack.tenant()
    const id = await submit(tenant, tinyLlamaInput(tenant, await tinyLlama(tenant)))
    await untilStatus(tenant, id, 'COMPLETED')
    const { job } = await tenant.data<{ job: Ended }>(
      'query ($id: ID!) { job(jobId: $id) { output { kind path } metrics(names: ["loss"]) { points { value } } } }',
      { id },
    )
    expect(job.output.kind).toBe('adapter')
    expect(existsSync(join(job.output.path, 'adapter_model.safetensors'))).toBe(true)
    const losses = job.metrics[0]?.points.map(({ value }) => value) ?? []
    expect(losses.at(-1)).toBeLessThan((losses[0] ?? 0) * 0.9)
  })
})
