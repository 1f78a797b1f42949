import { Validator } from '@seriousme/openapi-schema-validator'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { whoMay } from '../../../src/api/auth/who-may.js'
import { routes } from '../../../src/api/rest/router.js'
import { type ApiUnderTest, startApiUnderTest } from '../../support/api.js'
import { document } from '../../support/documented.js'

let under: ApiUnderTest
beforeAll(async () => {
  under = await startApiUnderTest()
})
afterAll(() => under?.close())

const get = (path: string, headers: Record<string, string> = {}) => fetch(`${under.api.url}/v1/modules/scaimind${path}`, { headers })

describe('The OpenAPI document', () => {
  it('is OpenAPI 3.1, served without a key, as it is generated', async () => {
    const response = await get('/openapi.json')
    expect([response.status, response.headers.get('content-type')]).toEqual([200, 'application/json; charset=utf-8'])
    const served = await response.json()
    expect({ ...served, info: null }).toEqual({ ...JSON.parse(JSON.stringify(document)), info: null })
    expect((await new Validator().validate(served)).errors).toBeUndefined()
    expect(served.openapi).toBe('3.1.0')
  })

  it('has every route of the table of who may, and no other', () => {
    const documented = Object.entries(document.paths).flatMap(([path, methods]) =>
      Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`),
    )
    expect(documented.sort()).toEqual(
      Object.values(whoMay)
        .flatMap(({ rest }) => rest)
        .sort(),
    )
    expect(documented.length).toBe(routes.length)
  })

  it('describes every operation, parameter and field', () => {
    const bare: string[] = []
    const walk = (schema: unknown, at: string) => {
      if (schema === null || typeof schema !== 'object') return
      const { properties, items, anyOf } = schema as { properties?: object; items?: unknown; anyOf?: unknown[] }
      for (const [name, inner] of Object.entries(properties ?? {})) {
        const own = (inner as { description?: string; $ref?: string; const?: string; properties?: object; items?: { $ref?: string } }) ?? {}
        const isNamed = own.$ref || own.items?.$ref || own.const || own.properties || JSON.stringify(inner).includes('$ref')
        if (!own.description && !isNamed) bare.push(`${at}.${name}`)
        walk(inner, `${at}.${name}`)
      }
      walk(items, `${at}[]`)
      for (const one of anyOf ?? []) walk(one, at)
    }
    for (const [path, methods] of Object.entries(document.paths)) {
      for (const [method, operation] of Object.entries(methods)) {
        const at = `${method} ${path}`
        if (!operation.summary || !operation.description) bare.push(at)
        for (const { $ref, name, description } of operation.parameters)
          if (!$ref && name !== 'id' && !description) bare.push(`${at}?${name}`)
        walk(operation.requestBody?.content['application/json']?.schema, at)
      }
    }
    for (const [name, schema] of Object.entries(document.components.schemas ?? {})) {
      const { properties = {} } = schema as { properties?: Record<string, { description?: string }> }
      bare.push(...Object.entries(properties).flatMap(([field, { description }]) => (description ? [] : [`${name}.${field}`])))
    }
    expect(bare).toEqual([])
  })

  it('is shown by a page that loads nothing from elsewhere', async () => {
    const page = await get('/docs', { accept: 'text/html' })
    expect([page.status, page.headers.get('content-type')]).toEqual([200, 'text/html; charset=utf-8'])
    const html = await page.text()
    expect(html).not.toMatch(/https?:\/\//)
    const files = [...html.matchAll(/(?:src|href)="(?!data:)([^"]+)"/g)].map(([, file]) => file)
    expect(files.length).toBeGreaterThan(2)
    for (const file of files) {
      const { status, headers } = await get(`/${file}`)
      expect([file, status, headers.get('etag')]).toEqual([file, 200, expect.any(String)])
      expect((await get(`/${file}`, { 'if-none-match': headers.get('etag') ?? '' })).status).toBe(304)
    }
  })
})
