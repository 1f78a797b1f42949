import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type Json, toJson } from '../../../src/api/rest/json.js'
import { packageDefinition, toTimestamp } from '../../../src/contract/proto.js'
import type { Job__Output } from '../../../src/generated/proto/scaimind/v1/Job.js'
import { job, offTheWire } from './support.js'

describe('A message as JSON', () => {
  it('has every field of the message under its proto name, and no other', () => {
    const { type } = packageDefinition['scaimind.v1.Job'] as { type: { field: { name: string }[] } }
    const names = type.field.map(({ name }) => name)
    expect(Object.keys(toJson('Job', job()))).toEqual(names)
  })

  it('says times as RFC 3339, enums as words, 64-bit integers as numbers', () => {
    const message = job({ progress: { step: 12, total_steps: 60, epoch: 0.2 }, available_actions: ['PAUSE'] })
    expect(toJson('Job', message)).toMatchObject({
      status: 'TRAINING',
      created_at: '2027-01-31T08:00:00.250Z',
      revision: 3,
      progress: { step: 12, total_steps: 60, epoch: 0.2 },
      available_actions: ['PAUSE'],
      labels: { team: 'search' },
    })
  })

  it('says null for what is unset: a message, a time, an optional number, an enum without a word', () => {
    expect(toJson('Job', job({ progress: { step: 1 } }))).toMatchObject({
      started_at: null,
      failure: null,
      wanted: null,
      progress: { step: 1, eta_seconds: null },
    })
  })

  it('tells an optional number that is 0 from one that is unset', () => {
    const training = (priority?: number) =>
      toJson('Job', job({ training_config: priority === undefined ? {} : { priority } })).training_config
    expect(training(0)).toMatchObject({ priority: 0 })
    expect(training()).toMatchObject({ priority: null })
  })

  it('leaves texts that look like numbers or times alone', () => {
    const message = job({ name: '0012', labels: { seconds: '5', nanos: '7' } })
    expect(toJson('Job', message)).toMatchObject({ name: '0012', labels: { seconds: '5', nanos: '7' } })
  })

  it('says null for a metric that is no number', () => {
    const record = { cursor: 'c', step: '1', epoch: 0, time: null, attempt: 1, values: { loss: Number.NaN, grad_norm: Infinity, lr: 0.5 } }
    expect(toJson('MetricRecord', record).values).toEqual({ loss: null, grad_norm: null, lr: 0.5 })
  })

  it('keeps every 64-bit integer exact: as a number where it can, else as its digits', () => {
    fc.assert(
      fc.property(fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }), (tokens) => {
        const message: Job__Output = offTheWire('GetJob', { progress: { tokens_seen: String(tokens) } })
        const { tokens_seen: said } = toJson('Job', message).progress as { tokens_seen: string | number }
        expect(BigInt(said)).toBe(tokens)
        expect(typeof said).toBe(tokens <= BigInt(Number.MAX_SAFE_INTEGER) ? 'number' : 'string')
      }),
    )
  })

  it('keeps every millisecond of every time', () => {
    fc.assert(
      fc.property(fc.date({ min: new Date(0), max: new Date('9999-12-31T00:00:00Z'), noInvalidDate: true }), (date) => {
        const message: Job__Output = offTheWire('GetJob', { created_at: toTimestamp(date) })
        expect(toJson('Job', message).created_at).toBe(date.toISOString())
      }),
    )
  })

  it('keeps every label, whatever it is called', () => {
    fc.assert(
      fc.property(fc.dictionary(fc.string({ unit: 'grapheme' }), fc.string({ unit: 'grapheme' })), (labels) => {
        const said = toJson('Job', { ...job(), labels }).labels as Record<string, Json>
        expect(Object.entries(said).sort()).toEqual(Object.entries(labels).sort())
      }),
    )
  })

  it('is the same for a copy that was kept as JSON', () => {
    const message = job({ failure: { class: 'NAN_LOSS', first_bad_step: '7' }, final_evaluation: { tuned: { loss: 1.5 } } })
    expect(toJson('Job', JSON.parse(JSON.stringify(message)))).toEqual(toJson('Job', message))
  })

  it('knows every message that the shim answers with', () => {
    for (const type of [
      'Job',
      'JobEvent',
      'Checkpoint',
      'MetricRecord',
      'MetricSeries',
      'LogRecord',
      'StreamGap',
      'Cluster',
      'ClusterNode',
      'Queue',
    ]) {
      expect(toJson(type, {})).toBeTypeOf('object')
    }
    expect(() => toJson('Nonsense', {})).toThrow('There is no message Nonsense')
  })
})
