import { mkdtempSync, writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type CoordinatorTenant, startTestCoordinator, type TestCoordinator } from '../../support/coordinator.js'

let hub: Server
let endpoint: string
let coordinator: TestCoordinator
let tenant: CoordinatorTenant

beforeAll(async () => {
  hub = createServer(({ url = '' }, response) => {
    if (/^\/api\/(models\/org\/model|datasets\/org\/data)\/revision\/main$/.test(url)) response.end(JSON.stringify({ sha: 'a'.repeat(40) }))
    else response.writeHead(404, { 'x-error-code': 'RepoNotFound' }).end()
  })
  await new Promise<void>((listening) => hub.listen(0, '127.0.0.1', listening))
  endpoint = `http://127.0.0.1:${(hub.address() as AddressInfo).port}`
  const python = join(mkdtempSync(join(tmpdir(), 'scaimind-hf-stub-')), 'python')
  writeFileSync(python, '#!/bin/sh', { mode: 0o755 })
  coordinator = await startTestCoordinator({ SCAIMIND_HF_PYTHON: python, SCAIMIND_HF_ENDPOINT: endpoint })
  tenant = coordinator.tenant()
})
afterAll(async () => {
  await coordinator?.close()
  hub?.close()
})

interface Parts {
  model: object
  environment: Record<string, string>
  sources: object[]
}
const job = ({ model = {}, environment = {}, sources = [{ type: 'huggingface', path: 'org/data' }] }: Partial<Parts>) => ({
  name: 'tuned',
  training_config: { training_type: 'LORA' as const, base_model: { model_id: 'org/model', ...model }, environment },
  data_config: { sources },
  scheduling_config: { start_after: { seconds: 4_000_000_000 } },
})

describe('What a submission names of a hub', () => {
  it('is taken where the hub has it', async () => {
    const id = await tenant.submit(job({}))
    expect((await tenant.job(id)).content_hash).toMatch(/^sha256:/)
  })

  it.each([
    ['a model', { model: { model_id: 'org/modell' } }, 'training_config.base_model.model_id', 'no model org/modell,'],
    ['a revision', { model: { revision: 'v9' } }, 'training_config.base_model.model_id', 'no model org/model at v9,'],
    ['a tokenizer', { model: { tokenizer_id: 'org/tokens' } }, 'training_config.base_model.tokenizer_id', 'no model org/tokens,'],
    [
      'a data set',
      {
        sources: [
          { type: 'huggingface', path: 'org/data' },
          { type: 'huggingface', path: 'org/dat:en' },
        ],
      },
      'data_config.sources[1].path',
      'no data set org/dat,',
    ],
  ])('is refused by its field where the hub says that there is none: %s', async (_what, parts, path, words) => {
    for (const dry_run of [false, true]) {
      const { fields } = await tenant.refused('SubmitJob', { spec: job(parts), dry_run })
      expect(fields).toEqual([{ path, message: expect.stringContaining(`${endpoint} has ${words}`) }])
      expect(fields[0]?.message).toContain('HF_TOKEN')
    }
  })

  it('is for the job to find out where it asks no hub, or another', async () => {
    const model = { model_id: 'org/modell' }
    await tenant.submit(job({ model, environment: { HF_HUB_OFFLINE: '1' } }))
    await tenant.submit(job({ model, environment: { HF_ENDPOINT: 'https://hub.example' } }))
  })

  it('is refused the same way for an evaluation', async () => {
    const benchmarks = [{ name: 'hellaswag' }]
    await tenant.call('SubmitEvaluation', { model_uri: 'org/model', benchmarks })
    const { fields } = await tenant.refused('SubmitEvaluation', { model_uri: 'org/modell', benchmarks })
    const message = expect.stringMatching(/has no model org\/modell,.* A folder is given with \.\/ or \/ before it\.$/)
    expect(fields).toEqual([{ path: 'model_uri', message }])
  })
})
