import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { pathWith, pathWithGpus } from '../support/gpus.js'
import { exited, linesOf, orderOf } from './support.js'

const untilSampled = (times: number) => `import { existsSync, readFileSync } from 'node:fs'
setInterval(() => {
  const lines = existsSync('gpu.0.jsonl') ? readFileSync('gpu.0.jsonl', 'utf8').split('\\n').length - 1 : 0
  if (lines >= ${times}) process.exit(0)
}, 5)`
const sampled = (script: string, more: object = {}) => orderOf(script, { gpu_sample_seconds: 0.05, ...more })

describe('A launcher that samples GPUs', () => {
  it('writes what those of its trainer do, again and again, and nothing of the others', async () => {
    const folder = sampled(untilSampled(2), { environment: { PATH: '/usr/bin:/bin', CUDA_VISIBLE_DEVICES: '1' } })
    expect(await exited(folder, [], { PATH: pathWithGpus(2) })).toBe(0)
    const use = { index: 1, utilization: 0.5, memory_used_bytes: 2 ** 30, power_watts: 250.5, temperature_celsius: 61 }
    for (const line of linesOf(folder, 'gpu.0.jsonl')) expect(line).toEqual({ time: expect.stringMatching(/^\d{4}-/), gpus: [use] })
  })

  it.each<[string, object, string]>([
    ['on a machine without them', {}, '/usr/bin:/bin'],
    ['for a trainer that has none', { environment: { PATH: '/usr/bin:/bin', CUDA_VISIBLE_DEVICES: '' } }, pathWithGpus(2)],
    ['where it was not asked to', { gpu_sample_seconds: 0 }, pathWithGpus(2)],
    ['where the program fails', {}, pathWith('nvidia-smi', 'echo "Driver/library version mismatch"; exit 18')],
  ])('writes nothing %s', async (_, more, PATH) => {
    const folder = sampled('setTimeout(() => {}, 200)', more)
    expect(await exited(folder, [], { PATH })).toBe(0)
    expect(existsSync(join(folder, 'gpu.0.jsonl'))).toBe(false)
  })

  it('asks one at a time and at the lowest priority, and its end waits for no answer', async () => {
    // Ends some samples later than the program was asked for the first time.
    const folder = sampled(`import { existsSync, readFileSync } from 'node:fs'
      const asked = () => existsSync('calls') && readFileSync('calls', 'utf8').endsWith('\\n')
      const timer = setInterval(() => asked() && setTimeout(() => clearInterval(timer), 300), 5)`)
    const neverAnswers = pathWith('nvidia-smi', `ps -o ni= -p $$ >> ${folder}/calls; exec sleep 60`)
    const began = performance.now()
    expect(await exited(folder, [], { PATH: neverAnswers })).toBe(0)
    // So long an answer is waited for at most.
    expect(performance.now() - began).toBeLessThan(10_000)
    expect(existsSync(join(folder, 'gpu.0.jsonl'))).toBe(false)
    expect(readFileSync(join(folder, 'calls'), 'utf8').trim()).toBe('19')
  })
})
