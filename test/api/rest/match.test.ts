import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { matchRoute } from '../../../src/api/rest/match.js'
import { routes } from '../../../src/api/rest/router.js'
import { Failure } from '../../../src/contract/failure.js'

describe('A path', () => {
  it('finds its own route and no other, whatever it names', () => {
    fc.assert(
      fc.property(fc.constantFrom(...routes), fc.string({ unit: 'grapheme', minLength: 1 }), (route, name) => {
        const found = matchRoute(
          routes,
          route.method,
          route.path.replace('{id}', () => encodeURIComponent(name)),
        )
        expect(found).toEqual({ route, id: route.path.includes('{id}') ? name : '' })
      }),
    )
  })

  it('is found or refused, whatever it is', () => {
    fc.assert(
      fc.property(fc.constantFrom('GET', 'POST', 'DELETE', 'TRACE', '__proto__'), fc.string(), (method, path) => {
        try {
          matchRoute(routes, method, `/${path}`)
        } catch (error) {
          expect(error).toBeInstanceOf(Failure)
        }
      }),
    )
  })

  it('of the contract is answered by exactly one route a method', () => {
    const rows = routes.map(({ method, path }) => `${method} ${path}`)
    expect(new Set(rows).size).toBe(rows.length)
    expect(rows.sort()).toEqual(
      [
        'GET /jobs',
        'POST /jobs',
        'GET /jobs/{id}',
        'POST /jobs/{id}/cancel',
        'POST /jobs/{id}/pause',
        'POST /jobs/{id}/resume',
        'POST /jobs/{id}/retry',
        'GET /jobs/{id}/metrics',
        'GET /jobs/{id}/logs',
        'GET /jobs/{id}/metrics/stream',
        'GET /jobs/{id}/checkpoints',
        'GET /jobs/{id}/events',
        'POST /evaluations',
        'GET /evaluations/{id}',
        'GET /evaluations',
        'POST /evaluations/{id}/cancel',
        'GET /cluster',
        'GET /nodes',
        'GET /nodes/{id}',
        'POST /nodes/{id}/drain',
        'POST /nodes/{id}/enable',
        'GET /queue',
        'POST /data/validate',
        'GET /data/cache',
        'DELETE /data/cache/{id}',
        // Ours: what has no row of its own there.
        'POST /data/cache/{id}',
        'GET /datasets',
        'POST /datasets',
        'GET /datasets/{id}',
      ].sort(),
    )
  })
})
