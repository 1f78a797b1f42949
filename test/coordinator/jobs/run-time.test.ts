import { describe, expect, it } from 'vitest'
import { estimateSteps, tokensToRead } from '../../../src/coordinator/jobs/placement/run-time.js'
import { completeSpec } from '../../../src/coordinator/jobs/records/spec.js'
import type { JobSpec__Output } from '../../../src/generated/proto/scaimind/v1/JobSpec.js'

const spec = (training: object, data: object = {}, resources: object = {}) =>
  completeSpec({
    training_config: { training_type: 'LORA', hyperparameters: {}, ...training },
    data_config: { sources: [], batch_size: 4, ...data },
    resource_config: { gpu_count: 0, ...resources },
  } as unknown as JobSpec__Output)
const given = (hyperparameters: Record<string, string>) => ({ hyperparameters })
const work = { records: 1000, tokens: 100_000 }

describe('The steps of a trainer that is not asked', () => {
  it('are those that it is told, else the rows of the epochs over those of a step on all GPUs', () => {
    expect(estimateSteps(spec(given({ max_steps: '70' })), work)).toBe(70)
    expect(estimateSteps(spec(given({ max_steps: '-1' })), work)).toBe(250)
    expect(estimateSteps(spec(given({ num_train_epochs: '2.5' })), work)).toBe(625)
    expect(estimateSteps(spec({}, { gradient_accumulation_steps: 3 }, { gpu_count: 8 }), work)).toBe(11)
    expect(estimateSteps(spec({ framework: { type: 'FSDP', distributed: { world_size: 2 } } }), work)).toBe(125)
  })

  it('leave out what is held out', () => {
    expect(estimateSteps(spec({}, { validation_split: 0.1 }), work)).toBe(225)
  })

  it('have rows that are filled where they are packed, which continued pretraining does', () => {
    expect(estimateSteps(spec(given({ packing: 'true' }), { max_seq_length: 1000 }), work)).toBe(25)
    expect(estimateSteps(spec({ training_type: 'CONTINUED_PRETRAIN' }, { max_seq_length: 1000 }), work)).toBe(25)
    expect(
      estimateSteps(spec({ training_type: 'CONTINUED_PRETRAIN', ...given({ packing: 'false' }) }, { max_seq_length: 1000 }), work),
    ).toBe(250)
  })

  it('have a row for each completion of RLHF', () => {
    expect(estimateSteps(spec({ training_type: 'RLHF', ...given({ num_generations: '4' }) }), work)).toBe(1000)
  })

  it('are not known of a script, of packed rows of any length, or without records', () => {
    expect(estimateSteps(spec({ framework: { type: 'CUSTOM' } }), work)).toBe(0)
    expect(estimateSteps(spec(given({ packing: 'true' })), work)).toBe(0)
    expect(estimateSteps(spec({}), { records: 0, tokens: 0 })).toBe(0)
  })
})

describe('The tokens that are read', () => {
  it('are those of the rows of all processes', () => {
    const run = { ...work, totalSteps: 10 }
    expect(tokensToRead(spec({}), run)).toBe(4000)
    expect(tokensToRead(spec({}, {}, { gpu_count: 2 }), run)).toBe(8000)
    expect(tokensToRead(spec({}, { max_seq_length: 50 }), run)).toBe(2000)
    expect(tokensToRead(spec(given({ packing: 'true' }), { max_seq_length: 500 }), run)).toBe(20_000)
    expect(tokensToRead(spec({}), { ...run, totalSteps: 0 })).toBe(0)
  })
})
