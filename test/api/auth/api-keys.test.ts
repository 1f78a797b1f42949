import { createHash } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { apiKeyStore } from '../../../src/api/auth/api-keys.js'
import { parseGrants, permissions } from '../../../src/api/auth/permissions.js'
import { identifyViewer } from '../../../src/api/auth/viewer.js'
import { allow } from '../../../src/api/auth/who-may.js'
import { type Database, openDatabase } from '../../../src/api/cache/database.js'
import { Failure } from '../../../src/contract/failure.js'
import { callerOf, eventually, newTenantId } from '../../support/api.js'
import { freshDatabase } from '../../support/database.js'

let database: Database

beforeAll(async () => {
  database = openDatabase(await freshDatabase('api'))
})
afterAll(() => database?.$disconnect())

const input = () => ({ tenantId: newTenantId(), userId: 'u', name: 'n', grants: ['tenant_admin'] })

describe('API keys', () => {
  it('a key is shown once and stored as a hash', async () => {
    const keys = apiKeyStore(database)
    const { key, keyId, prefix } = await keys.create(input())
    expect(key).toMatch(/^sgk_[A-Za-z0-9_-]{32,}$/)
    expect(key.startsWith(prefix)).toBe(true)
    const row = await database.apiKey.findUniqueOrThrow({ where: { keyId } })
    expect(row.hash).toBe(createHash('sha256').update(key).digest('hex'))
    expect(JSON.stringify(row)).not.toContain(key)
    expect(JSON.stringify(await keys.list())).not.toContain(row.hash)
    keys.close()
  })

  it('a key works until it is revoked, soon on every instance, and for what is open too', async () => {
    const [here, there] = [apiKeyStore(database), apiKeyStore(database)]
    const { key, keyId, tenantId } = await here.create(input())
    const verified = await there.verify(key)
    expect(verified).toMatchObject({ keyId, tenantId, roles: ['tenant_admin'] })
    expect(await here.revoke(keyId)).toBe(true)
    expect(await here.revoke(keyId)).toBe(false)
    const started = Date.now()
    await eventually(() => verified.ended.aborted)
    expect(Date.now() - started).toBeLessThan(3000)
    expect(verified.ended.reason).toMatchObject({ code: 'AUTH_TOKEN_INVALID' })
    await expect(there.verify(key)).rejects.toMatchObject({ code: 'AUTH_TOKEN_INVALID' })
    here.close()
    there.close()
  })

  it('a key that expires, or whose grants change, ends what is open', async () => {
    const keys = apiKeyStore(database, { pollMs: 20 })
    const short = await keys.verify((await keys.create({ ...input(), expiresAt: new Date(Date.now() + 200) })).key)
    const { key, keyId } = await keys.create(input())
    const changed = await keys.verify(key)
    await database.apiKey.update({ where: { keyId }, data: { grants: 'tenant_viewer' } })
    await eventually(() => short.ended.aborted && changed.ended.aborted)
    expect((await keys.verify(key)).permissions).toEqual(new Set(['scaimind:view']))
    await expect(keys.create({ ...input(), grants: ['king'] })).rejects.toMatchObject({ code: 'VALIDATION_ERROR' })
    await expect(keys.verify('sgk_short')).rejects.toMatchObject({ code: 'AUTH_TOKEN_INVALID' })
    keys.close()
  })

  it('without the database a key that was seen to work goes on for its grace, any other cannot be checked', async () => {
    let isAway = false
    const away = new Failure('DATABASE_UNAVAILABLE', 'away')
    const flaky = database.$extends({
      query: {
        async $allOperations({ args, query }) {
          if (isAway) throw away
          return query(args)
        },
      },
    }) as unknown as Database
    const keys = apiKeyStore(flaky, { pollMs: 10, graceMs: 300 })
    const [used, unused] = [await keys.create(input()), await keys.create(input())]
    const verified = await keys.verify(used.key)
    isAway = true
    await expect(keys.verify(unused.key)).rejects.toMatchObject({ code: 'DATABASE_UNAVAILABLE' })
    expect((await keys.verify(used.key)).keyId).toBe(used.keyId)
    await eventually(() => verified.ended.aborted)
    expect(verified.ended.reason).toMatchObject({ code: 'DATABASE_UNAVAILABLE' })
    await expect(keys.verify(used.key)).rejects.toMatchObject({ code: 'DATABASE_UNAVAILABLE' })
    isAway = false
    expect((await keys.verify(used.key)).keyId).toBe(used.keyId)
    keys.close()
  })
})

describe('Viewers and permissions', () => {
  it('the default roles hold what the contract says', () => {
    const held = (grants: string) => [...parseGrants(grants).permissions].sort()
    const all = [...permissions].sort()
    expect([held('super_admin'), held('partner_admin'), held('tenant_admin')]).toEqual([all, all, all])
    expect(held('tenant_user')).toEqual([])
    expect(held('tenant_viewer')).toEqual(['scaimind:view'])
    expect(held('tenant_user  scaimind:view scaimind:manage')).toEqual(['scaimind:manage', 'scaimind:view'])
    expect(parseGrants('king scaimind:all').unknown).toEqual(['king', 'scaimind:all'])
  })

  it('a permission that is missing is named', () => {
    const { viewer } = callerOf(newTenantId())
    const poor = { ...viewer, permissions: new Set(['scaimind:view'] as const) }
    expect(() => allow(poor, 'readJobs')).not.toThrow()
    expect(() => allow(poor, 'submitJob')).toThrow(/scaimind:manage/)
    expect(() => allow(poor, 'readEvaluations')).not.toThrow()
  })

  it('a super admin acts for the tenant that it names, others for their own only', async () => {
    const keys = apiKeyStore(database)
    const [admin, chief] = [await keys.create(input()), await keys.create({ ...input(), grants: ['super_admin'] })]
    const as = (key: string, tenant?: string) => identifyViewer({ keys, tokens: null }, { authorization: `Bearer ${key}`, tenant })
    expect((await as(chief.key, 'other')).tenantId).toBe('other')
    expect((await as(chief.key)).tenantId).toBe(chief.tenantId)
    expect((await as(admin.key, admin.tenantId)).tenantId).toBe(admin.tenantId)
    await expect(as(admin.key, 'other')).rejects.toMatchObject({ code: 'AUTHZ_PERMISSION_DENIED' })
    await expect(identifyViewer({ keys, tokens: null }, { authorization: undefined, tenant: undefined })).rejects.toMatchObject({
      code: 'AUTH_TOKEN_MISSING',
    })
    await expect(identifyViewer({ keys, tokens: null }, { authorization: 'Basic x', tenant: undefined })).rejects.toMatchObject({
      code: 'AUTH_TOKEN_INVALID',
    })
    keys.close()
  })
})
