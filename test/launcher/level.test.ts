import { describe, expect, it } from 'vitest'
import { levelOf, levelReader } from '../../src/launcher/level.js'

describe('The level of a line', () => {
  it.each([
    ['2026-01-01 10:00:00,123 - trainer - WARNING - slow', 'WARN'],
    ['[rank0]: ERROR something', 'ERROR'],
    ['INFO:root:started', 'INFO'],
    ['DEBUG | x', 'DEBUG'],
    ['[warn] low memory', 'WARN'],
    ['warning: deprecated', 'WARN'],
    ['error: no such file', 'ERROR'],
    ['Fatal: out of luck', 'ERROR'],
    ['/x/train.py:12: UserWarning: be careful', 'WARN'],
    ['{"level":"error","msg":"x"}', 'ERROR'],
    ['W0312 10:11:12.123456 1234 init.cc:86] hm', 'WARN'],
    ['Traceback (most recent call last):', 'ERROR'],
    ['torch.cuda.OutOfMemoryError: CUDA out of memory.', 'ERROR'],
    ["KeyError: 'loss'", 'ERROR'],
    ['CRITICAL stop', 'ERROR'],
  ])('%s → %s', (text, level) => {
    expect(levelOf(text)).toBe(level)
  })

  it.each([
    'loss 0.5',
    '{"loss": 1.5}',
    'errors: 0 of 10',
    'step: 3',
    'information',
    '100%|███| 3/3',
    'No errors found',
    'the INFORMATION desk',
  ])('%s says none', (text) => {
    expect(levelOf(text)).toBeNull()
  })

  it('is ERROR for all of a Python traceback, and INFO again after it', () => {
    const level = levelReader()
    const lines = ['Traceback (most recent call last):', '  File "x.py", line 1', '    raise Stop', 'my.Stop', 'going on']
    expect(lines.map(level)).toEqual(['ERROR', 'ERROR', 'ERROR', 'ERROR', 'INFO'])
  })
})
