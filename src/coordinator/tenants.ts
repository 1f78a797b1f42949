import { readFileSync } from 'node:fs'
import { z } from 'zod'
import { ConfigError, type CoordinatorConfig } from '../config.js'
import { isTenantId } from '../contract/ids.js'
import type { TenantLimits } from './jobs/placement/quota.js'

const count = z.number().int().min(0)
const entry = z.strictObject({
  jobs: count.optional(),
  queued: count.optional(),
  gpus: count.optional(),
  gpu_hours_month: z.number().min(0).optional(),
  weight: z.number().positive().max(1e6).optional(),
  over_quota: z.enum(['refuse', 'wait']).optional(),
})
const name = z.string().refine((text) => text === '*' || isTenantId(text), 'is no tenant, nor * for all others')
const tenantsFile = z.record(name, entry)

/**
 * What each tenant may have: the settings' defaults, overridden by the file's entry `*`, overridden by the tenant's own. Throws ConfigError that names all mistakes of
 * the file at once.
 */
export function readTenants(config: CoordinatorConfig): (tenantId: string) => TenantLimits {
  const defaults: TenantLimits = {
    jobs: config.SCAIMIND_TENANT_JOBS_MAX,
    queued: config.SCAIMIND_TENANT_QUEUED_MAX,
    gpus: config.SCAIMIND_TENANT_GPUS_MAX,
    gpuHoursMonth: config.SCAIMIND_TENANT_GPU_HOURS_MONTH,
    weight: 1,
    overQuota: config.SCAIMIND_TENANT_OVER_QUOTA,
  }
  const given = config.SCAIMIND_TENANTS_FILE === undefined ? {} : parseFile(config.SCAIMIND_TENANTS_FILE)
  const others = withEntry(defaults, given['*'])
  const limits = new Map(Object.entries(given).map(([tenantId, own]) => [tenantId, withEntry(others, own)]))
  return (tenantId) => limits.get(tenantId) ?? others
}

type Entry = z.infer<typeof entry>

function parseFile(path: string): Record<string, Entry> {
  const parsed = tenantsFile.safeParse(readJson(path))
  if (parsed.success) return parsed.data
  const mistakes = parsed.error.issues.map(({ path: at, message }) => `${at.length > 0 ? `${at.join('.')}: ` : ''}${message}`)
  throw new ConfigError(`SCAIMIND_TENANTS_FILE: ${path}: ${mistakes.join('; ')}.`)
}

function readJson(path: string): unknown {
  try {
    return JSON.parse(readFileSync(path, 'utf8'))
  } catch (error) {
    const reason = error instanceof SyntaxError ? 'is no JSON' : `cannot be read (${(error as NodeJS.ErrnoException).code})`
    throw new ConfigError(`SCAIMIND_TENANTS_FILE: ${path} ${reason}.`, { cause: error })
  }
}

function withEntry(limits: TenantLimits, own: Entry = {}): TenantLimits {
  return {
    jobs: own.jobs ?? limits.jobs,
    queued: own.queued ?? limits.queued,
    gpus: own.gpus ?? limits.gpus,
    gpuHoursMonth: own.gpu_hours_month ?? limits.gpuHoursMonth,
    weight: own.weight ?? limits.weight,
    overQuota: own.over_quota ?? limits.overQuota,
  }
}
