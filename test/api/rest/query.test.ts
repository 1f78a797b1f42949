import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { flag, parseQuery, type QueryShape, text, textList, textsByName, wholeNumber, word, words } from '../../../src/api/rest/query.js'
import { InvalidInput } from '../../../src/contract/failure.js'

const shape = {
  status: words(['QUEUED', 'TRAINING']),
  level: word(['INFO', 'WARN']),
  page_size: wholeNumber(1, 100),
  since: wholeNumber(0),
  follow: flag,
  token: text,
  names: textList(2),
  'label.*': textsByName,
}
const read = (search: string) => parseQuery(shape, new URLSearchParams(search))

function problems(search: string, known: QueryShape = shape): Record<string, string> {
  try {
    parseQuery(known, new URLSearchParams(search))
  } catch (error) {
    if (!(error instanceof InvalidInput)) throw error
    return Object.fromEntries(error.fields.map(({ path, message }) => [path, message]))
  }
  throw new Error(`${search} was accepted`)
}

describe('A query string', () => {
  it('is read by what each parameter is', () => {
    expect(read('status=QUEUED&status=TRAINING&page_size=7&follow=false&token=a%3Db&label.team=search&label.a.b=c&names=loss')).toEqual({
      status: ['QUEUED', 'TRAINING'],
      level: undefined,
      page_size: 7,
      since: undefined,
      follow: false,
      token: 'a=b',
      names: ['loss'],
      'label.*': { team: 'search', 'a.b': 'c' },
    })
  })

  it('may leave everything out, or leave it empty', () => {
    expect(read('token=&page_size=')).toMatchObject({ status: [], token: undefined, page_size: undefined, 'label.*': {} })
  })

  it('is refused with every mistake at once, each under its parameter', () => {
    expect(problems('page_size=101&status=DONE&follow=yes&level=LOUD&token=a&token=b&label.=x&label.a=1&label.a=2&pagesize=5')).toEqual({
      page_size: 'This is a whole number from 1 to 100, not "101".',
      status: 'This is one of QUEUED, TRAINING, not "DONE".',
      follow: 'This is true or false, not "yes".',
      level: 'This is one of INFO, WARN, not "LOUD".',
      token: 'This is given more than once.',
      'label.': 'A name stands after the dot.',
      'label.a': 'This is given more than once.',
      pagesize: 'There is no such parameter here; known are status, level, page_size, since, follow, token, names, label.*.',
    })
  })

  it('is refused where the route knows no parameter', () => {
    expect(problems('a=1', {})).toEqual({ a: 'There is no such parameter here; none is known.' })
  })

  it('reads a whole number in bounds and nothing else as one', () => {
    fc.assert(
      fc.property(fc.oneof(fc.integer().map(String), fc.double().map(String), fc.string()), (given) => {
        const search = new URLSearchParams({ page_size: given })
        const isOne = /^\d{1,16}$/.test(given) && Number(given) >= 1 && Number(given) <= 100
        if (isOne) expect(parseQuery(shape, search).page_size).toBe(Number(given))
        else if (given !== '') expect(() => parseQuery(shape, search)).toThrow(InvalidInput)
      }),
    )
  })

  it('is read or refused, whatever it is', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (search) => {
        try {
          read(search)
        } catch (error) {
          expect(error).toBeInstanceOf(InvalidInput)
        }
      }),
    )
  })
})
