import { chmodSync, mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import type { Engine } from '../../../src/coordinator/engines/engine.js'
import type { Database } from '../../../src/coordinator/jobs/records/database.js'
import type { JobSettings } from '../../../src/coordinator/jobs/records/settings.js'
import { completeSpec } from '../../../src/coordinator/jobs/records/spec.js'
import { validateSubmission } from '../../../src/coordinator/jobs/requests/validate.js'
import type { JobSpec__Output } from '../../../src/generated/proto/scaimind/v1/JobSpec.js'
import { unlimited } from '../../support/placement.js'

const folder = mkdtempSync(join(tmpdir(), 'scaimind-validate-'))
const file = (name: string, text: string) => {
  writeFileSync(join(folder, name), text)
  return join(folder, name)
}

/** A trainer that never gets to the end of data, and finds `nonsense` among the hyperparameters. */
const endless = file(
  'endless.mjs',
  `let text = ''
for await (const chunk of process.stdin) text += chunk
const { data_config, training_config } = JSON.parse(text)
if (data_config.sources.some(({ path }) => path)) setInterval(() => {}, 1000)
else {
  const problems = data_config.sources.map((_, index) => ({ path: \`data_config.sources[\${index}].path\`, message: 'A path is required.' }))
  if (training_config.hyperparameters.nonsense) problems.push({ path: 'training_config.hyperparameters.nonsense', message: 'There is none.' })
  console.log(JSON.stringify({ problems, data: [] }))
}`,
)
const interpreter = file('python', `#!/bin/sh\nexec ${process.execPath} ${endless}`)
chmodSync(interpreter, 0o755)
const hf = { python: interpreter, wrapper: [], modules: [], cacheHome: folder, megatronPath: null }
const settings = {
  dataRoots: [folder],
  trainer: { python: 'python3', embeddedPath: endless, checkTimeoutMs: 3000, hf },
} as unknown as JobSettings

function validate(hyperparameters: Record<string, string>, model = 'scaimind/byte-tiny', training = {}) {
  const spec = completeSpec({
    name: 'large',
    training_config: { training_type: 'LORA', base_model: { model_id: model }, hyperparameters, ...training },
    data_config: {
      sources: [
        { path: file('large.jsonl', '{"text": "one"}\n'), type: '', split: '', format: '', columns: [], filters: {}, sampling: {} },
      ],
    },
    resource_config: { gpu_count: 0 },
  } as unknown as JobSpec__Output)
  const node = {
    nodeId: 'n1',
    hostname: 'n1',
    online: true,
    draining: false,
    reason: '',
    gpus: [],
    cpus: 4,
    memoryBytes: 8e9,
    lastHeartbeat: new Date(),
  }
  const engine = { nodes: async () => [node] } as unknown as Engine
  return validateSubmission(spec, 'acme', { engine, database: {} as Database, settings, limitsOf: () => unlimited })
}

describe('A submission with more data than can be read through while its caller waits', () => {
  it.each(['scaimind/byte-tiny', 'org/model'])(
    'is judged by everything but its data, and says that it was not read (%s)',
    async (model) => {
      expect(await validate({}, model)).toMatchObject({ isReadThrough: false, dataProblems: [], totalSteps: null })
    },
  )

  it('is refused for what else is wrong', async () => {
    await expect(validate({ nonsense: '1' })).rejects.toMatchObject({ fields: [{ path: 'training_config.hyperparameters.nonsense' }] })
  })
})

it('A submission for a package that is missing is refused for what else is wrong, too', async () => {
  const refused = validate({}, 'org/model', { framework: { type: 'DEEPSPEED', config: { zero_stage: '9' } } })
  await expect(refused).rejects.toMatchObject({
    fields: [
      { path: 'training_config.framework.type', message: expect.stringContaining('started by deepspeed, which is not there') },
      { path: 'training_config.framework.config.zero_stage', message: expect.stringContaining('not "9"') },
    ],
  })
})
