import { mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { readCoordinatorConfig } from '../../src/config.js'
import { readTenants } from '../../src/coordinator/tenants.js'

const read = (text: string | null, settings: Record<string, string> = {}) => {
  const file = join(mkdtempSync(join(tmpdir(), 'scaimind-tenants-')), 'tenants.json')
  if (text !== null) writeFileSync(file, text)
  const base = { COORDINATOR_DATABASE_URL: 'mysql://u:p@127.0.0.1/c', SCAIMIND_API_SECRET: 'x'.repeat(16) }
  return readTenants(readCoordinatorConfig({ ...base, SCAIMIND_TENANTS_FILE: file, ...settings }))
}

describe('The file of tenants', () => {
  it("overrides the settings for all, and a tenant's own entry overrides that", () => {
    const limitsOf = read('{"*": {"jobs": 50, "gpus": 4}, "acme": {"gpus": 8, "weight": 2, "over_quota": "refuse"}}', {
      SCAIMIND_TENANT_GPUS_MAX: '1',
      SCAIMIND_TENANT_QUEUED_MAX: '9',
    })
    const others = { jobs: 50, queued: 9, gpus: 4, gpuHoursMonth: 0, weight: 1, overQuota: 'wait' }
    expect(limitsOf('anyone')).toEqual(others)
    expect(limitsOf('acme')).toEqual({ ...others, gpus: 8, weight: 2, overQuota: 'refuse' })
  })

  it('is refused with all its mistakes by name', () => {
    const wrong = '{"acme": {"gpus": -1, "colour": "red"}, "no tenant": {}, "beta": {"weight": 0, "over_quota": "maybe"}}'
    for (const mistake of [/acme\.gpus/, /colour/, /no tenant/, /beta\.weight/, /beta\.over_quota/]) {
      expect(() => read(wrong)).toThrow(mistake)
    }
    expect(() => read('{')).toThrow(/SCAIMIND_TENANTS_FILE.*is no JSON/)
    expect(() => read(null)).toThrow(/SCAIMIND_TENANTS_FILE.*cannot be read \(ENOENT\)/)
  })
})
