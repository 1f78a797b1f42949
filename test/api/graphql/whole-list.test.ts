import { describe, expect, it } from 'vitest'
import { pageOf } from '../../../src/api/graphql/whole-list.js'
import type { PageArguments } from '../../../src/api/operations/job-types.js'

const page = (all: string, args: PageArguments) => {
  const { edges, pageInfo } = pageOf([...all], (letter) => letter, args)
  return { shown: edges.map(({ node }) => node).join(''), ...pageInfo }
}

describe('A page of a list that is there as a whole', () => {
  it('is read from either end, in step while items come in front and others go', () => {
    const first = page('abcde', { first: 2 })
    expect(first).toMatchObject({ shown: 'ab', hasNextPage: true, hasPreviousPage: false })
    expect(page('xyabcde', { first: 2, after: first.endCursor })).toMatchObject({ shown: 'cd', hasNextPage: true, hasPreviousPage: true })
    expect(page('be', { first: 2, after: first.endCursor })).toMatchObject({ shown: 'e', hasNextPage: false })
    const last = page('abcde', { last: 2 })
    expect(last).toMatchObject({ shown: 'de', hasNextPage: false, hasPreviousPage: true })
    expect(page('xabcde', { last: 3, before: last.startCursor })).toMatchObject({ shown: 'abc', hasNextPage: true, hasPreviousPage: true })
    expect(page('', {})).toEqual({ shown: '', hasNextPage: false, hasPreviousPage: false, startCursor: null, endCursor: null })
  })

  it.each([
    [{ first: 0 }, 'VALIDATION_ERROR', /^first: .*1 to 100/],
    [{ last: -1 }, 'VALIDATION_ERROR', /^last: .*1 to 100/],
    [{ first: 101 }, 'VALIDATION_ERROR', /^first: .*1 to 100/],
    [{ first: 1, last: 1 }, 'VALIDATION_ERROR', /^last: Give first or last/],
    [{ after: 'z' }, 'CURSOR_INVALID', /^after: /],
    [{ before: 'T2Zmc2V0Q29ubmVjdGlvbjotNQ==' }, 'CURSOR_INVALID', /^before: /],
  ])('%j is refused, naming the argument', (args, code, message) => {
    expect(() => page('abc', args)).toThrow(expect.objectContaining({ code, message: expect.stringMatching(message) }))
  })
})
