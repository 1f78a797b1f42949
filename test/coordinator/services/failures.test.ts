import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type CoordinatorTenant, keepOnFailure, startTestCoordinator, type TestCoordinator } from '../../support/coordinator.js'

let coordinator: TestCoordinator
let tenant: CoordinatorTenant

beforeAll(async () => {
  coordinator = await startTestCoordinator()
  tenant = coordinator.tenant()
})
afterAll(async () => {
  await coordinator?.close()
})

const scripts: [string, string, object][] = [
  ['CODE', `console.log('before')\nnull.train()`, { exit_code: 1, message: expect.stringContaining('TypeError'), rank: 0 }],
  ['OUT_OF_MEMORY', `process.kill(process.pid, 'SIGKILL')`, { message: expect.stringContaining('SIGKILL') }],
  [
    'NAN_LOSS',
    `import { writeFileSync } from 'node:fs'
const line = (step, loss) => '{"step": ' + step + ', "epoch": 0, "time": "2030-01-01T00:00:00Z", "values": {"loss": ' + loss + '}}\\n'
writeFileSync('metrics.jsonl', line(1, 0.5) + line(2, 'NaN') + line(3, 'NaN'))
console.error('ValueError: the loss became nan')
process.exit(3)`,
    { first_bad_step: '2', exit_code: 3, hint: expect.stringContaining('learning_rate') },
  ],
  [
    'AUTH',
    `console.error('HTTPError: 401 Client Error: Unauthorized for url: https://hub')\nprocess.exit(1)`,
    { hint: expect.stringContaining('HF_TOKEN') },
  ],
  ['UNKNOWN', `console.log('good bye')\nprocess.exit(9)`, { exit_code: 9, message: 'good bye', evidence: ['good bye'] }],
]

describe('A failed job says', () => {
  it.each(scripts)('%s, with evidence, a hint and where', async (kind, script, more) => {
    keepOnFailure(coordinator)
    const id = await tenant.submit(tenant.custom(script))
    await tenant.until(id, 'FAILED')
    const { failure, attempts } = await tenant.job(id)
    expect(failure).toMatchObject({ class: kind, node: attempts[0]?.nodes[0], ...more })
    expect(failure?.hint).not.toBe('')
  })
})
