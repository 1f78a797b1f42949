import { describe, expect, it } from 'vitest'
import { jobChanges } from '../../../src/api/cache/job-changes.js'

describe('What a process knows of changes', () => {
  it('a reader waits for the events of its own tenant that were received before, and for no others', async () => {
    const changes = jobChanges()
    changes.received('a', 1)
    changes.received('b', 2)
    changes.received('a', 3)
    expect(changes.settled('c')).toBeUndefined()
    const [a, b] = [changes.settled('a'), changes.settled('b')]
    changes.received('b', 4)
    changes.applied(2)
    expect(await b).toBe(true)
    let isDone = false
    void a?.then(() => {
      isDone = true
    })
    await Promise.resolve()
    expect(isDone).toBe(false)
    changes.applied(4)
    expect(await a).toBe(true)
    expect(changes.settled('a')).toBeUndefined()
  })

  it('while events cannot be applied nobody waits, and everybody is told', async () => {
    const changes = jobChanges()
    changes.received('a', 1)
    const waiting = changes.settled('a')
    changes.stalled()
    expect(await waiting).toBe(false)
    expect(await changes.settled('a')).toBe(false)
    changes.applied(1)
    expect(changes.settled('a')).toBeUndefined()
  })

  it('the version is another after every event, every write and every loading, and never an old one again', () => {
    const changes = jobChanges({ tenantsMax: 3 })
    const seen = new Set<number>()
    const isNew = () => !seen.has(changes.version('a')) && seen.add(changes.version('a'))
    expect(isNew()).toBeTruthy()
    expect(isNew()).toBeFalsy()
    changes.received('a', 1)
    expect(isNew()).toBeTruthy()
    changes.written('a')
    expect(isNew()).toBeTruthy()
    changes.applied(1)
    for (const other of ['b', 'c', 'd', 'e']) changes.written(other)
    expect(isNew()).toBeTruthy()
    changes.reloaded(7)
    expect(isNew()).toBeTruthy()
    changes.written('b')
    expect(isNew()).toBeFalsy()
  })
})
