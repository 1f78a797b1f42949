import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { submit, untilStatus } from '../support/jobs.js'
import { keepOnFailure, type Stack, startStack } from '../support/stack.js'
import type { Tenant } from '../support/tenant.js'
import { hfSettings, tinyLlama, tinyLlamaInput } from '../support/tiny-llama.js'

let stack: Stack
let tenant: Tenant
let model: string

beforeAll(async () => {
  stack = await startStack(hfSettings)
  tenant = await stack.tenant()
  model = await tinyLlama(tenant)
})
afterAll(() => stack?.close())

interface Ended {
  output: { kind: string; path: string }
  metrics: { points: { step: number; value: number }[] }[]
}

async function ended(id: string): Promise<{ output: Ended['output']; losses: number[]; lastStep: number }> {
  await untilStatus(tenant, id, 'COMPLETED')
  const query = 'query ($id: ID!) { job(jobId: $id) { output { kind path } metrics(names: ["loss"]) { points { step value } } } }'
  const { job } = await tenant.data<{ job: Ended }>(query, { id })
  const points = job.metrics[0]?.points ?? []
  return { output: job.output, losses: points.map(({ value }) => value), lastStep: points.at(-1)?.step ?? 0 }
}

async function evaluated(jobId: string): Promise<{ name: string; numSamples: number; scoresJson: Record<string, number> }[]> {
  const dataset = tenant.file(
    'held-out.jsonl',
    ['The number 3 comes after', 'the number 2.'].map((text) => JSON.stringify({ text })).join('\n'),
  )
  const asked =
    'mutation ($input: SubmitEvaluationInput!) { submitEvaluation(input: $input) { ... on SubmitEvaluationSuccess { evaluation { evaluationId } } ... on Error { message } } }'
  const { submitEvaluation } = await tenant.data<{ submitEvaluation: { evaluation?: { evaluationId: string }; message?: string } }>(asked, {
    input: { jobId, benchmarks: [{ name: 'perplexity', dataset }] },
  })
  const id = submitEvaluation.evaluation?.evaluationId ?? expect.fail(submitEvaluation.message)
  await untilStatus(tenant, id, 'COMPLETED')
  const query = 'query ($id: ID!) { evaluation(evaluationId: $id) { results { name numSamples scoresJson } } }'
  return (await tenant.data<{ evaluation: { results: Awaited<ReturnType<typeof evaluated>> } }>(query, { id })).evaluation.results
}

describe('A model of HuggingFace', () => {
  it("is given an adapter by a LORA job: its loss falls, the output is a folder of peft's, and it is evaluated", async () => {
    keepOnFailure(stack)
    const id = await submit(tenant, tinyLlamaInput(tenant, model))
    const { output, losses } = await ended(id)
    expect(output.kind).toBe('adapter')
    expect(existsSync(join(output.path, 'adapter_model.safetensors'))).toBe(true)
    expect(losses.at(-1)).toBeLessThan((losses[0] ?? 0) * 0.9)
    expect(await evaluated(id)).toEqual([
      { name: 'perplexity', numSamples: 2, scoresJson: expect.objectContaining({ perplexity: expect.any(Number) }) },
    ])
  })

  it('is trained by two processes, which FSDP spreads it over', async () => {
    keepOnFailure(stack)
    const input = tinyLlamaInput(tenant, model, { hyperparameters: { max_steps: '4' } })
    const framework = { type: 'FSDP', distributed: { worldSize: 2 } }
    const id = await submit(tenant, { ...input, trainingConfig: { ...input.trainingConfig, framework } })
    expect(await ended(id)).toMatchObject({ output: { kind: 'adapter' }, lastStep: 4 })
  })
})
