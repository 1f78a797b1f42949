import { describe, expect, it } from 'vitest'
import { explainFailure, ownFailure, type Symptoms } from '../../../src/coordinator/jobs/attempts/failure.js'

const time = new Date('2030-01-01T01:00:00Z')
const end = { time, exitCode: 1 as number | null, signal: '', lost: false, verdict: null }
const ofRank = (rank: number, ...texts: string[]) => texts.map((text) => ({ text, rank }))
const explain = (symptoms: Partial<Symptoms>) => explainFailure({ end, told: null, lines: [], nodes: ['n0', 'n1'], ...symptoms })
const traceback = ['Traceback (most recent call last):', '  File "train.py", line 12, in <module>', '    main()']

/** Last lines as trainers really end. */
const endings: [string, string[], string, RegExp][] = [
  [
    'a GPU that is full',
    ['torch.cuda.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB (GPU 0; 79.15 GiB total)'],
    'OUT_OF_MEMORY',
    /batch_size/,
  ],
  ['a machine that is full', ['MemoryError: Unable to allocate 8 GiB'], 'OUT_OF_MEMORY', /memory_gb_per_node/],
  [
    'a heap that is full',
    ['FATAL ERROR: Reached heap limit Allocation failed - JavaScript heap out of memory'],
    'OUT_OF_MEMORY',
    /memory_gb_per_node/,
  ],
  ['a loss that is no number', ['ValueError: loss is nan at step 41'], 'NAN_LOSS', /learning_rate/],
  [
    'a gradient that is no number',
    ["RuntimeError: Function 'MulBackward0' returned nan values in its 0th output."],
    'NAN_LOSS',
    /max_grad_norm/,
  ],
  [
    'a collective that waits',
    ['[rank1]:[E] [PG 0 Rank 1] Watchdog caught collective operation timeout: WorkNCCL(SeqNum=8, OpType=ALLREDUCE)'],
    'COLLECTIVE_HANG',
    /NCCL_DEBUG/,
  ],
  [
    'a broken collective',
    ['torch.distributed.DistBackendError: NCCL error in: ProcessGroupNCCL.cpp:1275, remote process exited'],
    'COLLECTIVE_HANG',
    /rank/,
  ],
  ['a gated model', ['huggingface_hub.errors.GatedRepoError: 401 Client Error. (Request ID: x)'], 'AUTH', /HF_TOKEN/],
  [
    'a forbidden model',
    ['requests.exceptions.HTTPError: 403 Client Error: Forbidden for url: https://huggingface.co/x'],
    'AUTH',
    /HF_TOKEN/,
  ],
  ['a line that is no JSON', ['json.decoder.JSONDecodeError: Expecting value: line 1 column 1 (char 0)'], 'DATA', /dry-run/],
  ['a record without its field', ["KeyError: 'completion'"], 'DATA', /dry-run/],
  ['a file that is gone', ["FileNotFoundError: [Errno 2] No such file or directory: '/data/train.jsonl'"], 'DATA', /dry-run/],
  ['a disk that is full', ['OSError: [Errno 28] No space left on device'], 'NODE', /drain/],
  ['a GPU that is broken', ['RuntimeError: CUDA error: uncorrectable ECC error encountered'], 'NODE', /drain/],
  ['an exception', [...traceback, 'AttributeError: no such thing', 'bye'], 'CODE', /exception/],
  ['a module that is missing', [...traceback, "ModuleNotFoundError: No module named 'peft'"], 'CODE', /Install peft/],
]

describe('Why a job failed', () => {
  it.each(endings)('is seen by %s', (_, texts, kind, hint) => {
    const failure = explain({ lines: ofRank(0, ...texts) })
    expect(failure).toMatchObject({ class: kind, hint: expect.stringMatching(hint), evidence: texts, exit_code: 1, rank: 0, node: 'n0' })
    expect(texts.map((text) => text.trim())).toContain(failure.message)
  })

  it("is in the trainer's own words where it has any", () => {
    const told = { type: 'failure', time, class: 'NAN_LOSS', message: 'Not finite.', first_bad_step: 3, hint: 'Slower.' } as const
    const own = { class: 'NAN_LOSS', message: 'Not finite.', first_bad_step: '3', hint: 'Slower.', node: 'n0', evidence: ['MemoryError'] }
    expect(explain({ told, lines: ofRank(0, 'MemoryError') })).toMatchObject(own)
    expect(explain({ told: { ...told, hint: null } }).hint).toMatch(/learning_rate/)
    expect(explain({ told: { ...told, class: 'ODD' } }).class).toBe('UNKNOWN')
    const ofData = { type: 'failure', time, class: 'DATA', message: 'Not there.' } as const
    expect(explain({ told: { ...ofData, field: 'data_config.sources[0].path' } }).hint).toMatch(/dry-run/)
    expect(explain({ told: { ...ofData, field: 'training_config.base_model.model_id' } }).hint).toBe('')
  })

  it('names the process that the trainer names, and the node that it was on', () => {
    const told = { type: 'failure', time, class: 'COLLECTIVE_HANG', message: 'Rank 5 is missing.', rank: 5, node_rank: 1 } as const
    expect(explain({ told, lines: ofRank(0, 'rank 0 waits') })).toMatchObject({ rank: 5, node: 'n1' })
  })

  it('is the memory of one rank, or its exception, not the collective that it left broken', () => {
    const broken = ofRank(0, 'torch.distributed.DistBackendError: NCCL error: remote process exited')
    const memory = explain({ lines: [...ofRank(1, 'torch.OutOfMemoryError: CUDA out of memory.'), ...broken] })
    expect(memory).toMatchObject({ class: 'OUT_OF_MEMORY', rank: 1, node: 'n1' })
    expect(explain({ lines: [...ofRank(1, 'TypeError: no'), ...broken] })).toMatchObject({
      class: 'CODE',
      rank: 1,
      message: 'TypeError: no',
    })
  })

  it('has the first bad step from the words, else from the metrics', () => {
    expect(explain({ lines: ofRank(0, 'loss is nan at step 41'), firstBadStep: 40 })).toMatchObject({ first_bad_step: '41' })
    expect(explain({ lines: ofRank(0, 'loss became NaN'), firstBadStep: 40 })).toMatchObject({ first_bad_step: '40' })
    expect(explain({ lines: ofRank(0, 'TypeError: no'), firstBadStep: 40 }).first_bad_step).toBeUndefined()
  })

  it('is the kernel, where it killed without a word', () => {
    const killed = { ...end, exitCode: null, signal: 'SIGKILL' }
    expect(explain({ end: killed })).toMatchObject({ class: 'OUT_OF_MEMORY', message: expect.stringContaining('SIGKILL'), evidence: [] })
    expect(explain({ end: { ...end, exitCode: 137 }, lines: ofRank(0, 'step 3') })).toMatchObject({
      class: 'OUT_OF_MEMORY',
      exit_code: 137,
    })
    expect(explain({ end: killed }).exit_code).toBeUndefined()
  })

  it('is the node, where nobody heard the end', () => {
    expect(explain({ end: { ...end, exitCode: null, lost: true } })).toMatchObject({ class: 'NODE', node: 'n0' })
  })

  it('is the last line, the signal or the exit code where nothing else is known', () => {
    expect(explain({ end: { ...end, signal: 'SIGSEGV', exitCode: null } })).toMatchObject({
      class: 'CODE',
      message: expect.stringContaining('SIGSEGV'),
    })
    expect(explain({ end: { ...end, signal: 'SIGHUP', exitCode: null } })).toMatchObject({
      class: 'UNKNOWN',
      message: expect.stringContaining('SIGHUP'),
    })
    expect(explain({ lines: ofRank(0, 'good bye', ' ') })).toMatchObject({ class: 'UNKNOWN', message: 'good bye' })
    expect(explain({}).message).toBe('The trainer ended with exit code 1.')
  })

  it('comes with what usually helps where we found it ourselves', () => {
    expect(ownFailure('NODE', 'It did not start.').hint).toMatch(/drain/)
    expect(ownFailure('DATA', 'It is gone.', { hint: 'Look.' }).hint).toBe('Look.')
  })

  it('shows the line that says it, with what led to it, and the end', () => {
    const lines = ofRank(
      0,
      ...Array.from({ length: 60 }, (_, index) => (index === 20 ? 'MemoryError' : `line ${index} ${'x'.repeat(2000)}`)),
    )
    const { evidence, message } = explain({ lines })
    expect(message).toBe('MemoryError')
    expect(evidence).toHaveLength(20)
    expect(evidence[9]).toBe('MemoryError')
    expect(evidence[19]).toMatch(/^line 59 x{100}/)
    expect(Math.max(...evidence.map(({ length }) => length))).toBe(1000)
  })
})
