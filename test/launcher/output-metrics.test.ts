import { existsSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { beforeEach, describe, expect, it } from 'vitest'
import { openOutputMetrics, parseMetrics } from '../../src/launcher/output-metrics.js'

let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'scaimind-metrics-'))
})
const written = () =>
  readFileSync(join(folder, 'metrics.jsonl'), 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line))

describe('Printed metrics', () => {
  it('are JSON objects of numbers, with a step or counted', () => {
    const take = openOutputMetrics(folder, { check: () => {} })
    take(['hello', '{"loss": 1.5}', '{"loss": 1.25, "step": 7, "epoch": 0.5}'])
    take(['{"loss": 1}'])
    expect(written()).toMatchObject([
      { step: 1, epoch: 0, values: { loss: 1.5 } },
      { step: 7, epoch: 0.5, values: { loss: 1.25 } },
      { step: 2, epoch: 0, values: { loss: 1 } },
    ])
  })

  it.each(['{"loss": "low"}', '{"step": 3}', '{}', '[1]', '{"loss": {"a": 1}}', '{"loss": 1, "step": -1}', '{"loss": 1', 'loss 1'])(
    'are not %s',
    (line) => {
      expect(parseMetrics(line)).toBeNull()
    },
  )

  it('are left alone where the trainer writes its own', () => {
    writeFileSync(join(folder, 'metrics.jsonl'), 'its own\n')
    openOutputMetrics(folder, { check: () => {} })(['{"loss": 1}'])
    expect(readFileSync(join(folder, 'metrics.jsonl'), 'utf8')).toBe('its own\n')
  })

  it('make no file where there are none', () => {
    openOutputMetrics(folder, { check: () => {} })(['hello'])
    expect(existsSync(join(folder, 'metrics.jsonl'))).toBe(false)
  })
})
