import { describe, expect, it, vi } from 'vitest'
import { jobChanges } from '../../../src/api/cache/job-changes.js'
import { keepAnswers } from '../../../src/api/graphql/door/answers.js'

function answers({ bytesMax = 1000 } = {}) {
  const changes = jobChanges()
  const state = { isFresh: true, made: 0 }
  const kept = keepAnswers({ version: changes.version, settled: changes.settled, isFresh: () => state.isFresh }, { bytesMax })
  const make = async () => {
    state.made++
    return { answer: `answer ${state.made}` }
  }
  const ask = async (tenant = 'a', key = 'k', making = make) => (await kept.get(tenant, key, making)).answer
  return { ask, changes, state }
}

describe('Kept answers', () => {
  it('are those that were asked for twice, until a change of the tenant is received, another tenant’s changes aside', async () => {
    const { ask, changes } = answers()
    expect([await ask(), await ask(), await ask()]).toEqual(['answer 1', 'answer 2', 'answer 2'])
    changes.received('b', 1)
    expect(await ask()).toBe('answer 2')
    changes.received('a', 2)
    changes.applied(2)
    expect([await ask(), await ask()]).toEqual(['answer 3', 'answer 3'])
    changes.written('a')
    expect(await ask()).toBe('answer 4')
    expect(await ask('b')).toBe('answer 5')
    expect(await ask('a', 'other')).toBe('answer 6')
  })

  it('whoever asks for what is being made waits for that', async () => {
    const { ask } = answers()
    expect(await Promise.all([ask(), ask()])).toEqual(['answer 1', 'answer 1'])
    expect(await ask()).toBe('answer 1')
  })

  it('an answer that a change overtook is not given to those who ask later, nor kept', async () => {
    const { ask, changes, state } = answers()
    let finish = () => {}
    const slow = () => new Promise<{ answer: string }>((resolve) => (finish = () => resolve({ answer: 'old' })))
    const early = [ask('a', 'k', slow), ask('a', 'k')]
    changes.received('a', 1)
    changes.applied(1)
    const late = ask()
    finish()
    expect(await Promise.all(early)).toEqual(['old', 'old'])
    expect(await late).toBe('answer 1')
    expect(await ask()).toBe('answer 1')
    expect(state.made).toBe(1)
  })

  it('an answer made while a change waits to be applied is not kept', async () => {
    const { ask, changes } = answers()
    changes.received('a', 1)
    expect(await ask()).toBe('answer 1')
    expect(await ask()).toBe('answer 2')
    changes.applied(1)
    expect([await ask(), await ask()]).toEqual(['answer 3', 'answer 3'])
  })

  it('nothing is kept or given out while changes are not heard of', async () => {
    const { ask, state } = answers()
    expect([await ask(), await ask(), await ask()]).toEqual(['answer 1', 'answer 2', 'answer 2'])
    state.isFresh = false
    expect([await ask(), await ask()]).toEqual(['answer 3', 'answer 4'])
  })

  it('none is older than a second, for other instances write too', async () => {
    vi.useFakeTimers()
    try {
      const { ask } = answers()
      expect([await ask(), await ask()]).toEqual(['answer 1', 'answer 2'])
      vi.advanceTimersByTime(999)
      expect(await ask()).toBe('answer 2')
      vi.advanceTimersByTime(1)
      expect(await ask()).toBe('answer 3')
    } finally {
      vi.useRealTimers()
    }
  })

  it('a failure is told to all who wait, and is not kept', async () => {
    const { ask } = answers()
    const fails = () => Promise.reject(new Error('no'))
    const both = [ask('a', 'k', fails), ask('a', 'k', fails)]
    for (const one of both) await expect(one).rejects.toThrow('no')
    expect(await ask()).toBe('answer 1')
  })

  it('what is kept takes no more room than is given', async () => {
    const { ask, state } = answers({ bytesMax: 100 })
    for (let key = 0; key < 50; key++) await Promise.all([ask('a', `key ${key}`), ask('a', `key ${key}`)])
    expect(await ask('a', 'key 49')).toBe('answer 50')
    expect(await ask('a', 'key 0')).toBe('answer 51')
    expect(state.made).toBe(51)
  })
})
