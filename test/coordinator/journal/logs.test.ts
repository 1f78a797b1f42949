import { describe, expect, it } from 'vitest'
import { type ReadLogsOptions, readLogs } from '../../../src/coordinator/journal/logs.js'
import { newJournal } from './journal-support.js'

const page = (journal: ReturnType<typeof newJournal>, options: Partial<ReadLogsOptions> = {}) =>
  readLogs({ dataDir: journal.dataDir, job: journal.job, attempts: journal.attempts, limit: 100, ...options })

describe('Reading logs by pages', () => {
  it('goes through all lines of all attempts, page by page', async () => {
    const journal = newJournal()
    journal.logs(journal.begin(), ...Array.from({ length: 25 }, (_, i) => `a${i}`))
    journal.logs(journal.begin(), ...Array.from({ length: 8 }, (_, i) => `b${i}`))
    const texts: string[] = []
    let pages = 0
    for (let after = null as ReadLogsOptions['after'], more = true; more; pages++) {
      const { records, hasMore, end } = await page(journal, { after, limit: 10 })
      texts.push(...records.map(({ text }) => text))
      after = end
      more = hasMore
    }
    expect(texts).toEqual([...Array.from({ length: 25 }, (_, i) => `a${i}`), ...Array.from({ length: 8 }, (_, i) => `b${i}`)])
    expect(pages).toBe(4)
  })

  it('has nothing more where the last line is on the page', async () => {
    const journal = newJournal()
    journal.logs(journal.begin(), 'one', 'two')
    expect(await page(journal, { limit: 2 })).toMatchObject({ hasMore: false, end: { attempt: 1, sequence: 1 } })
  })

  it('says where to go on from even where nothing matched or nothing is there', async () => {
    const journal = newJournal()
    expect(await page(journal)).toMatchObject({ records: [], hasMore: false, hasEarlier: false, end: null, scanSpent: false })
    const number = journal.begin()
    expect(await page(journal)).toMatchObject({ records: [], end: { attempt: 1, sequence: -1 } })
    journal.logs(number, 'one', 'two')
    expect(await page(journal, { level: 'ERROR' })).toMatchObject({ records: [], end: { attempt: 1, sequence: 1 } })
  })

  it('tells lines of a level and graver ones, under their own numbers', async () => {
    const journal = newJournal()
    journal.logs(journal.begin(), 'DEBUG a', 'b', 'WARN c', 'ERROR d')
    const { records } = await page(journal, { level: 'WARN' })
    expect(records.map(({ sequence, text }) => [sequence, text])).toEqual([
      [2, 'WARN c'],
      [3, 'ERROR d'],
    ])
    expect((await page(journal, { rank: 1 })).records).toEqual([])
    expect((await page(journal, { stream: 'stdout' })).records).toHaveLength(4)
  })

  it('begins at the end where asked, over attempts, and then says whether more is before', async () => {
    const journal = newJournal()
    journal.logs(journal.begin(), 'one', 'ERROR two')
    journal.logs(journal.begin(), 'three', 'ERROR four', 'five')
    const last = await page(journal, { fromEnd: true, limit: 4 })
    expect(last.records.map(({ text }) => text)).toEqual(['ERROR two', 'three', 'ERROR four', 'five'])
    expect(last).toMatchObject({ hasEarlier: true, hasMore: false, end: { attempt: 2, sequence: 2 } })
    const errors = await page(journal, { fromEnd: true, limit: 4, level: 'ERROR' })
    expect(errors.records.map(({ text }) => text)).toEqual(['ERROR two', 'ERROR four'])
    expect(errors).toMatchObject({ hasEarlier: false, end: { attempt: 2, sequence: 2 } })
  })

  it('finds lines in long files from both ends', async () => {
    const journal = newJournal()
    const number = journal.begin()
    for (let part = 0; part < 20; part++)
      journal.logs(number, ...Array.from({ length: 1000 }, (_, i) => `line ${part * 1000 + i} ${'x'.repeat(i % 90)}`))
    const last = await page(journal, { fromEnd: true, limit: 1000 })
    expect(last.records.map(({ sequence }) => sequence)).toEqual(Array.from({ length: 1000 }, (_, i) => 19_000 + i))
    const { records } = await page(journal, { after: { attempt: 1, sequence: 12_344 }, limit: 1 })
    expect(records).toMatchObject([{ sequence: 12_345, text: expect.stringContaining('line 12345 ') }])
    journal.logs(number, 'new')
    expect((await page(journal, { fromEnd: true, limit: 1 })).records).toMatchObject([{ sequence: 20_000, text: 'new' }])
    const beyond = await page(journal, { after: { attempt: 1, sequence: 50_000 } })
    expect(beyond).toMatchObject({ records: [], hasMore: false, end: { attempt: 1, sequence: 50_000 } })
  })

  it('ends a page at 1 MB', async () => {
    const journal = newJournal()
    journal.logs(journal.begin(), ...Array.from({ length: 150 }, () => 'x'.repeat(16_000)))
    const { records, hasMore } = await page(journal, { limit: 1000 })
    expect(records.length).toBeLessThan(70)
    expect(hasMore).toBe(true)
    expect((await page(journal, { limit: 1000, fromEnd: true })).records.length).toBeLessThan(70)
  })
})
