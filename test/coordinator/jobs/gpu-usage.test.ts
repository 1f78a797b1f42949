import { mkdirSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { withSampledUsage } from '../../../src/coordinator/jobs/placement/gpu-usage.js'
import type { InventoryNode } from '../../../src/coordinator/jobs/placement/inventory.js'
import { storePlacement } from '../../../src/coordinator/jobs/records/record.js'
import { newJournal } from '../journal/journal-support.js'

const now = new Date('2026-01-01T12:00:00Z')
const unknown = { memoryUsedBytes: null, utilization: null, powerWatts: null, temperatureCelsius: null }
const nodeOf = (nodeId: string): InventoryNode => ({
  node: {
    nodeId,
    hostname: nodeId,
    features: [],
    online: true,
    draining: false,
    reason: '',
    gpus: [0, 1, 2, 3].map((index) => ({ index, type: 'a100', memoryBytes: 0, ...unknown })),
    cpus: 8,
    memoryBytes: 0,
    lastHeartbeat: now,
  },
  draining: false,
  reason: '',
  cordoned: false,
  reportedOnly: false,
  holders: [],
})
const sample = (agoMs: number, ...busy: number[]) =>
  `${JSON.stringify({
    time: new Date(now.getTime() - agoMs),
    gpus: busy.map((utilization, index) => ({ index, utilization, memory_used_bytes: 7, power_watts: 100, temperature_celsius: 50 })),
  })}\n`

describe('A cluster whose scheduler does not tell what GPUs do', () => {
  it('has it by the newest samples of the attempts that hold them, for as long as these are fresh', async () => {
    const journal = newJournal()
    mkdirSync(journal.directory(1), { recursive: true })
    journal.append(1, 'gpu.0.jsonl', sample(20_000, 0.1, 0.2) + sample(10_000, 0.5, 0.75))
    journal.append(1, 'gpu.1.jsonl', sample(90_000, 1, 1))
    const placement = ['gpu01', 'gpu02'].map((nodeId) => ({ nodeId, gpuIndexes: [2, 3], cpus: 1, memoryBytes: 0 }))
    const attempt = { jobId: 'job', number: 1, placement: storePlacement(placement), job: { tenantId: 'tenant' } }
    const seen = await withSampledUsage([nodeOf('gpu01'), nodeOf('gpu02')], [attempt], { dataDir: journal.dataDir, now })
    const use = { memoryUsedBytes: 7, powerWatts: 100, temperatureCelsius: 50 }
    expect(seen[0]?.node.gpus).toMatchObject([unknown, unknown, { ...use, utilization: 0.5 }, { ...use, utilization: 0.75 }])
    expect(seen[1]?.node.gpus).toMatchObject([unknown, unknown, unknown, unknown])
  })
})
