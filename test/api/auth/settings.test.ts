import { describe, expect, it } from 'vitest'
import { readApiConfig } from '../../../src/config.js'

const enough = { DATABASE_URL: 'mysql://u:p@localhost/db', SCAIMIND_API_SECRET: '0123456789abcdef' }
const issuer = { SCAIMIND_JWT_ISSUER: 'https://key.example', SCAIMIND_JWT_AUDIENCE: 'scaimind' }
const exchange = {
  SCAIMIND_TOKEN_EXCHANGE_URL: 'https://key.example/token',
  SCAIMIND_TOKEN_EXCHANGE_CLIENT_ID: 'c',
  SCAIMIND_TOKEN_EXCHANGE_CLIENT_SECRET: 's',
}

describe('Settings of who is calling', () => {
  const refused: [string, Record<string, string>, RegExp][] = [
    ['an issuer without an audience', { SCAIMIND_JWT_ISSUER: 'https://key.example' }, /SCAIMIND_JWT_ISSUER: needs SCAIMIND_JWT_AUDIENCE/],
    ['an audience without an issuer', { SCAIMIND_JWT_AUDIENCE: 'scaimind' }, /SCAIMIND_JWT_AUDIENCE: needs SCAIMIND_JWT_ISSUER/],
    ['an issuer that is no URL', { ...issuer, SCAIMIND_JWT_ISSUER: 'scaikey' }, /SCAIMIND_JWT_ISSUER/],
    ['keys without an issuer', { SCAIMIND_JWKS_URL: 'https://key.example/keys' }, /SCAIMIND_JWKS_URL: needs SCAIMIND_JWT_ISSUER/],
    ['a claim that there is not', { ...issuer, SCAIMIND_JWT_CLAIMS: 'tennant=t' }, /"tennant=t" must read tenant=<claim>/],
    [
      'an exchange without tokens',
      { ...exchange, SCAIMIND_SCAIDRIVE_AUDIENCE: 'd' },
      /SCAIMIND_TOKEN_EXCHANGE_URL: needs SCAIMIND_JWT_ISSUER/,
    ],
    [
      'an exchange without a secret',
      { ...issuer, ...exchange, SCAIMIND_TOKEN_EXCHANGE_CLIENT_SECRET: '' },
      /needs SCAIMIND_TOKEN_EXCHANGE_CLIENT_SECRET/,
    ],
    ['an exchange for nothing', { ...issuer, ...exchange }, /needs SCAIMIND_SCAIDRIVE_AUDIENCE or SCAIMIND_SCAIATLAS_AUDIENCE/],
  ]
  it.each(refused)('%s stops the start', (_what, settings, message) => {
    expect(() => readApiConfig({ ...enough, ...settings })).toThrow(message)
  })

  it('claims have other names where that is said', () => {
    const { SCAIMIND_JWT_CLAIMS: claims } = readApiConfig({ ...enough, ...issuer, SCAIMIND_JWT_CLAIMS: 'tenant=org,roles=groups' })
    expect(claims).toEqual({ tenant: 'org', roles: 'groups', permissions: 'permissions', tenants: 'tenants' })
  })
})

describe('Settings of where the coordinators are', () => {
  it('name one or several, each with a port of its own where it has one', () => {
    const { SCAIMIND_GRPC_HOST: hosts } = readApiConfig({ ...enough, SCAIMIND_GRPC_HOST: 'a:1, b ,[::1]:3,::1' })
    expect(hosts).toEqual([{ host: 'a', port: 1 }, { host: 'b' }, { host: '::1', port: 3 }, { host: '::1' }])
  })

  it.each(['a:0', 'a:70000', 'a,,b', '[::1', 'http://a'])('%s stops the start', (hosts) => {
    expect(() => readApiConfig({ ...enough, SCAIMIND_GRPC_HOST: hosts })).toThrow(/SCAIMIND_GRPC_HOST: .* must read host, host:port or/)
  })
})
