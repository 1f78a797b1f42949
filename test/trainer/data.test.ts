import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { planBatches, ROW_LAYOUT, targetCount } from '../../src/trainer/data/batches.js'
import { readCsvRows } from '../../src/trainer/data/csv.js'
import { type EncodingSettings, encodeRecords, splitRecords } from '../../src/trainer/data/examples.js'
import { loadData } from '../../src/trainer/data/load.js'
import { PAIR_RECORDS } from '../../src/trainer/data/pair-record.js'
import { encodePairs } from '../../src/trainer/data/pairs.js'
import { TEXT_RECORDS } from '../../src/trainer/data/record.js'
import { formatOf, readCsv, readJsonLines, readText } from '../../src/trainer/data/records.js'
import { BOS, decodeTokens, EOS } from '../../src/trainer/data/tokens.js'
import type { DataPlan } from '../../src/trainer/plan.js'
import { temporaryFolder } from './support.js'

const settings: EncodingSettings = { maxSeqLength: 64, packAll: false, packing: false, trainOnPrompt: false, addBos: true, addEos: true }

function learnedText(records: string, changes: Partial<EncodingSettings> = {}): string[] {
  const { examples } = encodeRecords(readJsonLines(records, TEXT_RECORDS).records, { ...settings, ...changes })
  return examples.map(({ tokens, learned }) => decodeTokens([...tokens].filter((_, index) => learned[index])))
}

function planFor(name: string, text: string): DataPlan {
  const path = join(temporaryFolder(), name)
  writeFileSync(path, text)
  return {
    sources: [{ path, format: formatOf(name, '') ?? 'jsonl' }],
    fieldMapping: {},
    addBos: true,
    addEos: true,
    maxSeqLength: 64,
    batchSize: 4,
    accumulation: 1,
    validationSplit: 0,
    seed: 42,
  }
}

describe('records', () => {
  it('plain text is divided into documents by blank lines', () => {
    expect(readText('one\nstill one\n\n\ntwo\r\n\r\nthree\n')).toEqual(['one\nstill one', 'two', 'three'])
  })

  it('a long text without blank lines is cut at white space and nothing of it is lost', () => {
    const text = Array.from({ length: 1500 }, (_, n) => `word${n}`).join(' ')
    const pieces = readText(text)
    expect(pieces.length).toBeGreaterThan(3)
    expect(pieces.join(' ')).toBe(text)
  })

  it('the loss of a prompt and its completion is on the completion and its end', () => {
    expect(learnedText('{"prompt":"Q","completion":"An answer"}')).toEqual(['An answer'])
    const [example] = encodeRecords(readJsonLines('{"prompt":"Q","completion":"A"}', TEXT_RECORDS).records, settings).examples
    expect([...(example?.tokens ?? [])]).toEqual([BOS, 81, 10, 65, EOS])
    expect([...(example?.learned ?? [])]).toEqual([0, 0, 0, 1, 1])
  })

  it('train_on_prompt puts the loss on prompts as well', () => {
    expect(learnedText('{"prompt":"Q","completion":"A"}', { trainOnPrompt: true })).toEqual(['Q\nA'])
  })

  it('the loss of a chat is on what the assistant says', () => {
    const chat = {
      messages: [
        { role: 'user', content: 'Hi' },
        { role: 'assistant', content: 'Hello' },
        { role: 'user', content: 'Bye' },
        { role: 'assistant', content: 'So long' },
      ],
    }
    expect(learnedText(JSON.stringify(chat))).toEqual(['Hello\nSo long'])
  })

  it('continued pretraining packs every kind of record into full rows and learns all of it', () => {
    const { examples } = encodeRecords(readJsonLines('{"prompt":"Q","completion":"A"}\n{"text":"Text"}', TEXT_RECORDS).records, {
      ...settings,
      packAll: true,
    })
    expect(examples).toHaveLength(1)
    expect(decodeTokens([...(examples[0]?.tokens ?? [])])).toBe('Q\nAText')
    expect(targetCount(examples[0] as (typeof examples)[0])).toBe(10)
  })

  it('a record that is too long is cut, and one whose prompt fills the row is left out', () => {
    const long = `{"prompt":"Q","completion":"${'a'.repeat(100)}"}`
    const hopeless = `{"prompt":"${'q'.repeat(100)}","completion":"A"}`
    const { examples, truncated, dropped } = encodeRecords(readJsonLines(`${long}\n${hopeless}`, TEXT_RECORDS).records, settings)
    expect({ rows: examples.length, truncated, dropped }).toEqual({ rows: 1, truncated: 2, dropped: 1 })
    expect(examples[0]?.tokens).toHaveLength(65)
  })

  it('packing puts every record into a row, whole and once, and fills rows better than one record a row', () => {
    const lines = Array.from({ length: 60 }, (_, n) => JSON.stringify({ prompt: `${n}`, completion: 'z'.repeat(1 + ((n * 7) % 50)) }))
    const { records } = readJsonLines(lines.join('\n'), TEXT_RECORDS)
    const spelled = (packing: boolean) =>
      encodeRecords(records, { ...settings, packing }).examples.flatMap(({ tokens, segments }) => {
        expect(tokens.length).toBeLessThanOrEqual(65)
        const texts: string[] = []
        for (const [at, token] of tokens.entries())
          texts[segments?.[at] ?? 0] = (texts[segments?.[at] ?? 0] ?? '') + String.fromCharCode(token)
        return texts
      })
    expect(spelled(true).sort()).toEqual(spelled(false).sort())
    expect(encodeRecords(records, { ...settings, packing: true }).examples.length).toBeLessThan(35)
  })

  it.each([
    ['{"prompt": "Q"', /data.jsonl:2: not JSON/],
    ['["Q", "A"]', /data.jsonl:2: not a JSON object: expected a record/],
    ['{"question": "Q"}', /data.jsonl:2: .*found "question"/],
    ['{"prompt": "Q"}', /data.jsonl:2: "completion" must be text/],
    ['{"prompt": "Q", "completion": 4}', /data.jsonl:2: "completion" must be text/],
    ['{"text": " "}', /data.jsonl:2: "text" is empty/],
    ['{"messages": [{"role": "robot", "content": "x"}]}', /data.jsonl:2: "messages"\[0\] must have a "role"/],
    ['{"messages": [{"role": "user", "content": "x"}]}', /data.jsonl:2: "messages" has no assistant message/],
  ])('a line that cannot be used is named by file and number: %s', (line, expected) => {
    const { problems } = loadData(planFor('data.jsonl', `{"text":"fine"}\n${line}\n`), TEXT_RECORDS)
    expect(problems).toHaveLength(1)
    expect(problems[0]?.path).toBe('data_config.sources[0].path')
    expect(problems[0]?.message).toMatch(expected)
  })

  it('a file that holds no record, or is not there, or is no text, is refused by name', () => {
    expect(loadData(planFor('empty.jsonl', '\n\n'), TEXT_RECORDS).problems[0]?.message).toMatch(
      /^empty.jsonl:1: holds no usable record: expected a record/,
    )
    expect(loadData(planFor('empty.txt', '\n'), TEXT_RECORDS).problems[0]?.message).toMatch(/^empty.txt:1: holds no usable record/)
    expect(loadData(planFor('binary.txt', 'a\u0000b'), TEXT_RECORDS).problems[0]?.message).toMatch(/NUL byte at 1/)
    const missing = { ...planFor('x.txt', 'x'), sources: [{ path: '/nowhere/at-all.txt', format: 'txt' as const }] }
    expect(loadData(missing, TEXT_RECORDS).problems[0]?.message).toBe('There is no file at-all.txt.')
  })

  it('a field mapping reads prompts and completions from fields of other names', () => {
    const { records } = readJsonLines('{"question":"Q","answer":"A"}', TEXT_RECORDS, { prompt: 'question', completion: 'answer' })
    expect(records[0]).toMatchObject({ kind: 'completion', prompt: 'Q\n' })
  })
})

describe('pairs', () => {
  const read = (record: object) => {
    const { records, badLines } = readJsonLines(JSON.stringify(record), PAIR_RECORDS)
    return records[0] ?? badLines[0]?.reason
  }
  const learnedOf = (record: object) => {
    const [pair] = encodePairs(readJsonLines(JSON.stringify(record), PAIR_RECORDS).records, settings).examples
    return [pair?.chosen, pair?.rejected].map((row) => decodeTokens([...(row?.tokens ?? [])].filter((_, at) => row?.learned[at])))
  }

  it('are two answers to a prompt, of which the answers are compared', () => {
    expect(learnedOf({ prompt: 'Q', chosen: 'Yes', rejected: 'No' })).toEqual(['Yes', 'No'])
    expect(read({ prompt: 'Q', chosen: 'Yes', rejected: 'No' })).toMatchObject({ kind: 'pair', prompt: 'Q\n' })
  })

  it('without a prompt have what both answers begin with as theirs', () => {
    expect(learnedOf({ chosen: 'It is good', rejected: 'It is bad' })).toEqual(['good', 'bad'])
    expect(read({ chosen: '\u{1f600} a', rejected: '\u{1f601} a' })).toMatchObject({ prompt: '' })
  })

  it('of chats compare what the assistant says after the prompt', () => {
    const user = { role: 'user', content: 'Hi' }
    const said = (content: string) => ({ role: 'assistant', content })
    const separate = { prompt: [user], chosen: [said('Hello')], rejected: [said('What?')] }
    expect(learnedOf(separate)).toEqual(['Hello', 'What?'])
    const whole = { chosen: [user, said('Hello')], rejected: [user, said('What?')] }
    expect(read(whole)).toEqual(read(separate))
  })

  it('that are longer than a row are cut, and left out where their answers are no longer told apart', () => {
    const long = { prompt: 'Q', chosen: 'a'.repeat(100), rejected: 'b' }
    const alike = { prompt: 'Q', chosen: `${'a'.repeat(80)}b`, rejected: `${'a'.repeat(80)}c` }
    const { records } = readJsonLines([long, alike].map((record) => JSON.stringify(record)).join('\n'), PAIR_RECORDS)
    const { examples, truncated, dropped } = encodePairs(records, settings)
    expect({ rows: examples.length, truncated, dropped }).toEqual({ rows: 1, truncated: 2, dropped: 1 })
    expect(examples[0]?.chosen.tokens).toHaveLength(65)
  })

  it.each([
    [{ prompt: 'Q', completion: 'A' }, /expected a record with "chosen" and "rejected".*found "prompt", "completion"/],
    [{ chosen: 'A', rejected: 'A' }, /"chosen" and "rejected" are the same/],
    [{ prompt: 'Q', chosen: 'A', rejected: '' }, /"rejected" is empty/],
    [{ prompt: 1, chosen: 'A', rejected: 'B' }, /"prompt" must be text/],
    [{ chosen: 'A', rejected: [{ role: 'assistant', content: 'B' }] }, /must both be text, or both lists/],
    [{ chosen: [{ role: 'user', content: 'A' }], rejected: [{ role: 'assistant', content: 'B' }] }, /"chosen" has no assistant message/],
    [{ chosen: [{ role: 'robot', content: 'A' }], rejected: [{ role: 'assistant', content: 'B' }] }, /"chosen"\[0\] must have a "role"/],
  ])('that cannot be used are named by file and number: %j', (record, expected) => {
    const plan = planFor('data.jsonl', `{"chosen":"A","rejected":"B"}\n${JSON.stringify(record)}\n`)
    const { problems } = loadData(plan, PAIR_RECORDS)
    expect(problems.map(({ message }) => message)).toEqual([expect.stringMatching(/^data.jsonl:2: /)])
    expect(problems[0]?.message).toMatch(expected)
  })

  it('are not in plain text', () => {
    expect(loadData(planFor('data.txt', 'text'), PAIR_RECORDS).problems[0]?.message).toMatch(/data.txt is plain text; expected .*"chosen"/)
  })
})

describe('CSV', () => {
  const cellsOf = (text: string) => readCsvRows(text).map(({ cells }) => cells)
  const read = (text: string) => readCsv(text, TEXT_RECORDS)

  it.each([
    [
      'a,b\r\n1,2\r\n',
      [
        ['a', 'b'],
        ['1', '2'],
      ],
    ],
    [
      'a,b\n1,',
      [
        ['a', 'b'],
        ['1', ''],
      ],
    ],
    ['"a,b","say ""hi""","two\nlines"', [['a,b', 'say "hi"', 'two\nlines']]],
    ['"",\n\n""\r\n', [['', '']]],
    ['a b , c', [['a b ', ' c']]],
  ])('has commas, quotes around what holds them, and rows over several lines: %j', (text, expected) => {
    expect(cellsOf(text)).toEqual(expected)
  })

  it('reads any cells that were written, however odd', () => {
    const quote = (cell: string) => `"${cell.replaceAll('"', '""')}"`
    const cell = fc.string({ unit: fc.constantFrom('a', ',', '"', '\n', '\r', ' ') })
    fc.assert(
      fc.property(fc.array(fc.array(cell, { minLength: 2, maxLength: 3 })), (rows) => {
        expect(cellsOf(rows.map((row) => row.map(quote).join(',')).join('\r\n'))).toEqual(rows)
      }),
    )
  })

  it('makes records of its rows by the names in the first, and by a mapping of them', () => {
    expect(read('prompt,id,completion\nQ,1,"An ""A"", then"\n').records).toMatchObject([
      { kind: 'completion', prompt: 'Q\n', parts: [{}, { text: 'An "A", then' }] },
    ])
    const mapped = readCsv('better,worse\nyes,no\n', PAIR_RECORDS, { chosen: 'better', rejected: 'worse' })
    expect(mapped.records).toMatchObject([{ kind: 'pair' }])
    expect(loadData(planFor('data.csv', 'text\nfine\n'), TEXT_RECORDS)).toMatchObject({ problems: [], sources: [{ records: 1 }] })
  })

  it.each([
    ['text,text\na,b\n', 1, /header names "text" twice/],
    ['text\n"two\nlines"\n" "\n', 4, /"text" is empty/],
    ['text,id\nfine,1\nshort\n', 3, /header names 2 cells, and this row has 1/],
    ['text\nfine\n"open\nand so on', 3, /quotes of cell 1 are never closed/],
    ['text\n"a" b\nfine\n', 2, /text follows the closing quotes of cell 1/],
    ['text\n5" disk\nfine\n', 2, /cell 1 has quotes inside/],
    ['title\nx\n', 2, /expected a record with "text".*found "title"/],
  ])('names a row that cannot be used by its first line: %j', (text, line, reason) => {
    expect(read(text).badLines).toEqual([{ line, reason: expect.stringMatching(reason) }])
  })
})

describe('splitting and batching', () => {
  const numbers = Array.from({ length: 50 }, (_, n) => n)

  it('the validation split is the same for the same seed and another for another', () => {
    const first = splitRecords(numbers, 0.1, 42)
    expect(first.validation).toHaveLength(5)
    expect(splitRecords(numbers, 0.1, 42)).toEqual(first)
    expect(splitRecords(numbers, 0.1, 43).validation).not.toEqual(first.validation)
    expect([...first.training, ...first.validation].sort((a, b) => a - b)).toEqual(numbers)
  })

  const examples = numbers.map((n) => ({ tokens: Uint16Array.of(BOS, n, EOS), learned: Uint8Array.of(0, 1, 1) }))
  const firstTokens = (step: number, batchSize: number, accumulation: number) => {
    const plan = planBatches(examples, { batchSize, accumulation, length: 2, seed: 1 }, ROW_LAYOUT)
    return plan.stepRows(step).batches.flatMap(({ tokens }) => [...tokens].filter((_, index) => index % 2 === 1))
  }

  it('an epoch shows every row once, and the next in another order', () => {
    const epoch = (first: number) => [1, 2, 3, 4, 5].flatMap((step) => firstTokens(first + step, 10, 1))
    expect(epoch(0).sort((a, b) => a - b)).toEqual(numbers)
    expect(epoch(0)).not.toEqual(epoch(5))
  })

  it('what a step sees depends on the step alone', () => {
    const plan = planBatches(examples, { batchSize: 10, accumulation: 1, length: 2, seed: 1 }, ROW_LAYOUT)
    for (const step of [1, 2, 3, 4, 5, 6]) plan.stepRows(step)
    expect(plan.stepRows(3)).toEqual(planBatches(examples, { batchSize: 10, accumulation: 1, length: 2, seed: 1 }, ROW_LAYOUT).stepRows(3))
  })

  it('accumulation shows the same rows as a batch that is as many times larger', () => {
    expect(firstTokens(2, 2, 5)).toEqual(firstTokens(2, 10, 1))
  })
})
