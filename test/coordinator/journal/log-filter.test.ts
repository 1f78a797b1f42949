import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type LogFilter, matchesLogFilter, parseLogPattern } from '../../../src/coordinator/journal/log-filter.js'
import { type LogPage, type ReadLogsOptions, readLogs } from '../../../src/coordinator/journal/logs.js'
import { type JournalPlace, parseLog } from '../../../src/coordinator/journal/records.js'
import type { ScanBudget } from '../../../src/coordinator/journal/scan.js'
import { newJournal } from './journal-support.js'

const timeOf = (index: number) => new Date(Date.UTC(2026, 0, 1, 0, 0, index))
const words = ['loss 0.5', 'Loss is nan', 'saved', 'epoch 1 done', 'CUDA error']
const levels = ['DEBUG', 'INFO', 'WARN', 'ERROR'] as const

/** Three attempts of 100 lines of all kinds, and now and then one that is no record. */
function manyLines() {
  const journal = newJournal()
  const all: { line: string; place: JournalPlace }[] = []
  for (let number = 1; number <= 3; number++) {
    journal.begin()
    for (let sequence = 0; sequence < 100; sequence++) {
      const at = number * 100 + sequence
      const record = { time: timeOf(at), rank: at % 3, stream: 'stdout', level: levels[at % 4], text: words[(at * 7) % 5] }
      const line = sequence % 17 === 5 ? 'no record' : JSON.stringify(record)
      journal.append(number, 'logs.0.jsonl', `${line}\n`)
      all.push({ line, place: { attempt: number, sequence } })
    }
  }
  const told = (filter: LogFilter & { attempt?: number | undefined }) =>
    all.flatMap(({ line, place }) => {
      const entry = parseLog(line, place)
      return entry && (filter.attempt ?? entry.attempt) === entry.attempt && matchesLogFilter(filter)(entry)
        ? [`${place.attempt}/${place.sequence}`]
        : []
    })
  const read = ({ attempt, ...options }: Omit<ReadLogsOptions, 'dataDir' | 'job' | 'attempts'> & { attempt?: number | undefined }) =>
    readLogs({
      dataDir: journal.dataDir,
      job: journal.job,
      attempts: journal.attempts.filter(({ number }) => number === (attempt ?? number)),
      ...options,
    })
  return { told, read }
}

const maybe = <Value>(values: fc.Arbitrary<Value>) => fc.option(values, { nil: undefined })
const anyFilter = fc.record({
  level: maybe(fc.constantFrom(...levels)),
  rank: maybe(fc.integer({ min: 0, max: 3 })),
  attempt: maybe(fc.integer({ min: 1, max: 4 })),
  since: maybe(fc.integer({ min: 90, max: 420 }).map(timeOf)),
  until: maybe(fc.integer({ min: 90, max: 420 }).map(timeOf)),
  pattern: maybe(fc.constantFrom('(?i)loss', '^saved$', 'e.*(a|o)', 'x').map(parseLogPattern)),
})
const anyPaging = fc.record({ limit: fc.integer({ min: 1, max: 40 }), budget: fc.record({ lines: fc.integer({ min: 1, max: 60 }) }) })
const placesOf = ({ records }: LogPage) => records.map(({ attempt, sequence }) => `${attempt}/${sequence}`)

describe('Paging through logs under any filter', () => {
  it('tells exactly the lines that match, in order and none twice, forwards', async () => {
    const { told, read } = manyLines()
    await fc.assert(
      fc.asyncProperty(anyFilter, anyPaging, async (filter, paging) => {
        const seen: string[] = []
        for (let after: JournalPlace | null = null, more = true; more; ) {
          const page: LogPage = await read({ ...filter, ...paging, after })
          expect(page.records.length).toBeLessThanOrEqual(paging.limit)
          seen.push(...placesOf(page))
          after = page.end
          more = page.hasMore
        }
        expect(seen).toEqual(told(filter))
      }),
      { numRuns: 60 },
    )
  })

  it('tells them from the end backwards too', async () => {
    const { told, read } = manyLines()
    await fc.assert(
      fc.asyncProperty(anyFilter, anyPaging, async (filter, paging) => {
        const seen: string[] = []
        for (let before: JournalPlace | null = null, more = true; more; ) {
          const page: LogPage = await read({ ...filter, ...paging, before, fromEnd: true })
          seen.unshift(...placesOf(page))
          before = page.start ?? before
          more = page.hasEarlier
        }
        expect(seen).toEqual(told(filter))
      }),
      { numRuns: 60 },
    )
  })

  it('ends a page whose budget is spent where nothing matched, and says where to go on', async () => {
    const { read } = manyLines()
    const page = await read({ limit: 10, budget: { lines: 50 }, pattern: parseLogPattern('nowhere') })
    expect(page).toMatchObject({ records: [], hasMore: true, scanSpent: true, end: { attempt: 1, sequence: 49 } })
    const last = await read({ limit: 10, budget: { lines: 50 }, pattern: parseLogPattern('nowhere'), fromEnd: true })
    expect(last).toMatchObject({ records: [], hasEarlier: true, scanSpent: true, start: { attempt: 3, sequence: 50 } })
  })
})

describe('A pattern', () => {
  const refusal = (pattern: string) => {
    try {
      parseLogPattern(pattern)
      return ''
    } catch (error) {
      return (error as Error).message
    }
  }

  it('is refused with what is wrong with it', () => {
    expect(refusal('(loss')).toBe("pattern: This is no regular expression of RE2's language: missing closing ): `(loss`.")
    expect(refusal('(?=loss)')).toMatch(/unsupported Perl syntax/)
    expect(refusal('x'.repeat(201))).toBe('pattern: A pattern has at most 200 characters, not 201.')
    expect(refusal('[ab]{900}[ab]{900}')).toMatch(/repeats too much/)
    expect(refusal('x'.repeat(200))).toBe('')
  })

  describe('that is slow on every line', () => {
    const slowly = async (budget: ScanBudget) => {
      const journal = newJournal()
      let state = 1
      const random = () => {
        state = (state * 48_271) % 2_147_483_647
        return state
      }
      const line = () => Array.from({ length: 16_384 }, () => (random() % 1000 < 500 ? 'a' : 'b')).join('')
      journal.logs(journal.begin(), ...Array.from({ length: 100 }, line))
      const options = { dataDir: journal.dataDir, job: journal.job, attempts: journal.attempts, limit: 10 }
      return readLogs({ ...options, pattern: parseLogPattern('[ab]*a[ab]{60}[xy]'), budget })
    }

    it('is given up when its time is spent', async () => {
      expect(await slowly({ ms: 300 })).toMatchObject({ records: [], hasMore: true, scanSpent: true })
    })

    it('leaves others their turn', async () => {
      let turns = 0
      const timer = setInterval(() => turns++, 1)
      await slowly({ lines: 8, ms: 60_000 })
      clearInterval(timer)
      expect(turns).toBeGreaterThan(1)
    })
  })
})
