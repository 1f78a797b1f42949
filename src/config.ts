import { isIPv6 } from 'node:net'
import { homedir } from 'node:os'
import { isAbsolute, join, resolve } from 'node:path'
import { z } from 'zod'
import { isTenantId } from './contract/ids.js'
import { frameworkTypes } from './contract/statuses.js'
import { wordsOf } from './contract/words.js'

/** Every setting by its environment variable. An empty value is an unset one. */
type Environment = Record<string, string | undefined>

const port = z.coerce.number().int().min(0).max(65535)
const positive = z.coerce.number().int().positive()
const flag = z.enum(['true', 'false', '1', '0']).transform((text) => text === 'true' || text === '1')
const secret = z.string().min(16, 'needs at least 16 characters')
const databaseUrl = z
  .string()
  .refine(isDatabaseUrl, 'must look like mysql://user:password@host:3306/database')
  .transform((text) => text.replace(/^mariadb:/, 'mysql:'))

const hub = z.union([z.literal(''), z.url({ protocol: /^https?$/, message: 'must look like https://huggingface.co' })])
const collector = z.url({ protocol: /^https?$/, message: 'must look like http://collector:4318' })

const shared = {
  /** Folder of job journals, credentials, logs and the private database. */
  SCAIMIND_DATA_DIR: z
    .string()
    .default('.scaimind')
    .transform((path) => resolve(path)),
  /** Level of our own log: debug, info, warn, error or silent. */
  SCAIMIND_LOG_LEVEL: z.enum(['debug', 'info', 'warn', 'error', 'silent']).default('info'),
  /** MariaDB server and the API's database (`scaimind_api` where the URL names none). */
  DATABASE_URL: databaseUrl.optional(),
  /** Certificates for the channel between API and coordinator. */
  SCAIMIND_TLS_ENABLED: flag.default(false),
  /** Trusted root certificates, PEM. */
  SCAIMIND_TLS_CA_FILE: z.string().optional(),
  /** This side's certificate, PEM. */
  SCAIMIND_TLS_CERT_FILE: z.string().optional(),
  /** This side's private key, PEM. */
  SCAIMIND_TLS_KEY_FILE: z.string().optional(),
  /** The OpenTelemetry collector that traces are sent to, by OTLP over HTTP; `/v1/traces` is added. Without it none are made. */
  OTEL_EXPORTER_OTLP_ENDPOINT: collector.optional(),
  /** Where traces are sent instead, the whole URL. */
  OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: collector.optional(),
  /** The name of this process in traces; default `scaimind-api` and `scaimind-coordinator`. */
  OTEL_SERVICE_NAME: z.string().optional(),
}

const apiSettingsAlone = z.object({
  ...shared,
  DATABASE_URL: databaseUrl,
  /** Address the API listens on. */
  SCAIMIND_HOST: z.string().default('127.0.0.1'),
  /** Port of GraphQL, REST and the pages; 0: any free one. */
  SCAIMIND_PORT: port.default(8080),
  /** The coordinator's host; of several coordinators `host[:port],host[:port]`: the API follows the one that is active. */
  SCAIMIND_GRPC_HOST: z.string().default('127.0.0.1').transform(parseAddresses),
  /** The coordinator's port, where the host does not name one. */
  SCAIMIND_GRPC_PORT: port.default(50051),
  /** Seconds after which a call to the coordinator is given up. */
  SCAIMIND_GRPC_TIMEOUT_S: z.coerce.number().positive().default(30),
  /** The secret of this API at the coordinator. */
  SCAIMIND_API_SECRET: secret,
  /** Deepest nesting of a GraphQL query. */
  SCAIMIND_MAX_DEPTH: positive.default(15),
  /** Complexity of a GraphQL query: a point a field, times page sizes. */
  SCAIMIND_MAX_COMPLEXITY: positive.default(20_000),
  /** Aliases in a GraphQL query. */
  SCAIMIND_MAX_ALIASES: positive.default(50),
  /** Items of a list in an argument of a GraphQL operation. */
  SCAIMIND_MAX_LIST_LENGTH: positive.default(500),
  /** Items of a page that a GraphQL operation may ask for, at most 100. */
  SCAIMIND_MAX_PAGE_SIZE: positive.max(100).default(100),
  /** Whether the GraphQL schema may be asked for; without it GraphiQL knows no fields. */
  SCAIMIND_INTROSPECTION: flag.default(true),
  /** JSON file of documents by id, `{"<id or SHA-256>": "query …"}`, that requests may name instead of sending their text. */
  SCAIMIND_TRUSTED_DOCUMENTS: z.string().optional(),
  /** Whether only the trusted documents run. */
  SCAIMIND_TRUSTED_DOCUMENTS_ONLY: flag.default(false),
  /** Bytes of a request body. */
  SCAIMIND_MAX_BODY_BYTES: positive.default(1_048_576),
  /** Bytes of a request that uploads a data set. */
  SCAIMIND_MAX_UPLOAD_BYTES: positive.default(10 * 1024 ** 3),
  /** Subscriptions on one WebSocket connection. */
  SCAIMIND_MAX_SUBSCRIPTIONS: positive.default(100),
  /** Streams that one API key, or one user's tokens, have open at once, whatever door they come through. */
  SCAIMIND_MAX_SUBSCRIPTIONS_PER_KEY: positive.default(1000),
  /** Milliseconds for which a subscriber has taken nothing when metrics are thinned for it. */
  SCAIMIND_SLOW_READER_MS: z.coerce.number().min(0).default(1000),
  /** Seconds after which the connection of a subscriber is closed that takes nothing of what waits for it. */
  SCAIMIND_STUCK_READER_S: z.coerce.number().positive().default(30),
  /** Requests a second of one API key, or of one user's tokens; at most twice that at once. 0: no limit. */
  SCAIMIND_RATE_PER_KEY: z.coerce.number().int().min(0).default(500),
  /** Requests a second of a tenant; at most twice that at once. 0: no limit. */
  SCAIMIND_RATE_PER_TENANT: z.coerce.number().int().min(0).default(2000),
  /** The issuer (`iss`) of ScaiKey's tokens; without it only API keys are taken. */
  SCAIMIND_JWT_ISSUER: z.url().optional(),
  /** The audience (`aud`) that a token must be for. */
  SCAIMIND_JWT_AUDIENCE: z.string().optional(),
  /** Where the issuer's public keys are; default `<issuer>/.well-known/jwks.json`. */
  SCAIMIND_JWKS_URL: z.url().optional(),
  /** Names of the claims, where they are not `tenant=tenant_id,roles=roles,permissions=permissions,tenants=tenants`. */
  SCAIMIND_JWT_CLAIMS: z.string().default('').transform(parseClaims),
  /** RFC 8693 endpoint at which a caller's token is exchanged for those that jobs fetch data and models with; without it none are forwarded. */
  SCAIMIND_TOKEN_EXCHANGE_URL: z.url().optional(),
  /** Who the API is at that endpoint. */
  SCAIMIND_TOKEN_EXCHANGE_CLIENT_ID: z.string().optional(),
  /** Its secret there. */
  SCAIMIND_TOKEN_EXCHANGE_CLIENT_SECRET: z.string().optional(),
  /** The audience of ScaiDrive's tokens; without it none are asked for. */
  SCAIMIND_SCAIDRIVE_AUDIENCE: z.string().optional(),
  /** The audience of ScaiAtlas' tokens; without it none are asked for. */
  SCAIMIND_SCAIATLAS_AUDIENCE: z.string().optional(),
})

const apiSettings = apiSettingsAlone.superRefine((settings, context) => {
  const needs = (name: keyof typeof settings, ...others: (keyof typeof settings)[]) => {
    if (settings[name] === undefined) return
    for (const other of others) {
      if (settings[other] === undefined) context.addIssue({ code: 'custom', path: [name], message: `needs ${other} too` })
    }
  }
  needs('SCAIMIND_JWT_ISSUER', 'SCAIMIND_JWT_AUDIENCE')
  needs('SCAIMIND_JWT_AUDIENCE', 'SCAIMIND_JWT_ISSUER')
  needs('SCAIMIND_JWKS_URL', 'SCAIMIND_JWT_ISSUER')
  needs('SCAIMIND_TOKEN_EXCHANGE_URL', 'SCAIMIND_JWT_ISSUER', 'SCAIMIND_TOKEN_EXCHANGE_CLIENT_ID', 'SCAIMIND_TOKEN_EXCHANGE_CLIENT_SECRET')
  if (settings.SCAIMIND_TOKEN_EXCHANGE_URL && !settings.SCAIMIND_SCAIDRIVE_AUDIENCE && !settings.SCAIMIND_SCAIATLAS_AUDIENCE) {
    context.addIssue({
      code: 'custom',
      path: ['SCAIMIND_TOKEN_EXCHANGE_URL'],
      message: 'needs SCAIMIND_SCAIDRIVE_AUDIENCE or SCAIMIND_SCAIATLAS_AUDIENCE too',
    })
  }
})

const coordinatorSettings = z.object({
  ...shared,
  /** MariaDB database of the job records; default: the server of DATABASE_URL, database `scaimind_coordinator`. */
  COORDINATOR_DATABASE_URL: databaseUrl,
  /** Address the coordinator listens on; one that is not loopback needs TLS. */
  SCAIMIND_COORDINATOR_HOST: z.string().default('127.0.0.1'),
  /** Port of gRPC; 0: any free one. */
  SCAIMIND_COORDINATOR_PORT: port.default(50051),
  /** The secret of callers that may act for all tenants: the API's own. */
  SCAIMIND_API_SECRET: secret,
  /** Secrets of callers for one tenant each: `tenant=secret,tenant=secret`. */
  SCAIMIND_TENANT_SECRETS: z.string().default('').transform(parseTenantSecrets),
  /** Folders that tenants may name files under, separated by `:`; `{tenant}` is replaced. */
  SCAIMIND_DATA_ROOTS: z
    .string()
    .optional()
    .transform((text) =>
      text
        ?.split(':')
        .filter(Boolean)
        .map((path) => resolve(path)),
    ),
  /** Whether jobs may bring their own code: CUSTOM scripts and reward functions. */
  SCAIMIND_ALLOW_CUSTOM_CODE: flag.default(false),
  /** Whether jobs may run code from the model. */
  SCAIMIND_ALLOW_TRUST_REMOTE_CODE: flag.default(false),
  /** What runs the jobs: `local`, this machine; `slurm`, a cluster that its own scheduler orders. */
  SCAIMIND_ENGINE: z.enum(['local', 'slurm']).default('local'),
  /** Folders of Slurm's commands, separated by `:`. */
  SCAIMIND_SLURM_PATH: z.string().default('/usr/local/bin:/usr/bin:/bin'),
  /** Slurm's configuration file; default: where Slurm itself looks. */
  SCAIMIND_SLURM_CONF: z.string().optional(),
  /** The partition that preemptible jobs go to, whatever queue they name: the cluster takes their places for others there. */
  SCAIMIND_SLURM_PREEMPTIBLE_PARTITION: z.string().optional(),
  /** Whether Slurm has an account of each tenant's name, which its jobs are charged to. */
  SCAIMIND_SLURM_ACCOUNTS: flag.default(false),
  /** CPU slots of this machine for jobs without GPUs; default: its cores less one, at least 1. */
  SCAIMIND_CPU_SLOTS: positive.optional(),
  /** Jobs of a tenant that are not finished; 0: no limit. */
  SCAIMIND_TENANT_JOBS_MAX: z.coerce.number().int().min(0).default(0),
  /** GPUs that a tenant holds at once: beyond them its jobs wait; 0: no limit. */
  SCAIMIND_TENANT_GPUS_MAX: z.coerce.number().int().min(0).default(0),
  /** Jobs of a tenant that wait for a place; 0: no limit. */
  SCAIMIND_TENANT_QUEUED_MAX: z.coerce.number().int().min(0).default(0),
  /** GPU hours that a tenant's jobs run in a calendar month (UTC): beyond them none is started; 0: no limit. */
  SCAIMIND_TENANT_GPU_HOURS_MONTH: z.coerce.number().min(0).default(0),
  /** What becomes of a job beyond its tenant's GPUs or GPU hours: refuse (at submission) or wait. */
  SCAIMIND_TENANT_OVER_QUOTA: z.enum(['refuse', 'wait']).default('wait'),
  /** JSON file of limits and fair-share weights by tenant, `*` for all others; what it leaves out is as set above, the weight 1. */
  SCAIMIND_TENANTS_FILE: z.string().optional(),
  /** Hours in which what a tenant used counts half as much for its fair share. */
  SCAIMIND_FAIR_SHARE_HALF_LIFE_HOURS: z.coerce.number().positive().max(8760).default(24),
  /** Seconds that a preemptible job runs at least before it gives way to one of higher priority. */
  SCAIMIND_PREEMPTION_MIN_RUNTIME_SECONDS: z.coerce.number().min(0).default(120),
  /** Bytes of an uploaded data set. Default 10 GiB. */
  SCAIMIND_MAX_DATASET_BYTES: positive.default(10 * 2 ** 30),
  /** Bytes of data set copies that a node keeps; the least used that are not pinned go first. Default 50 GiB. */
  SCAIMIND_DATA_CACHE_BYTES: positive.default(50 * 2 ** 30),
  /** Hours that a job's updates which a later change has overtaken, such as its progress, are kept as events. Changes of its state stay with the job. */
  SCAIMIND_PROGRESS_RETENTION_HOURS: z.coerce.number().positive().max(876_000).default(1),
  /** Seconds between SIGTERM and SIGKILL of a trainer. */
  SCAIMIND_STOP_GRACE_SECONDS: z.coerce.number().positive().default(60),
  /** Seconds for which a trainer that trains has written nothing when its job is told as unreachable; nothing is ended for it. 0: never. */
  SCAIMIND_SILENT_TRAINER_S: z.coerce.number().min(0).default(1800),
  /** Folders in which nvidia-smi or rocm-smi is looked for, separated by `:`. */
  PATH: z.string().default(''),
  /** Seconds between two looks at the GPUs of a job while it runs: their utilization, memory, power and temperature are metrics of it. 0: never. */
  SCAIMIND_GPU_SAMPLE_SECONDS: z.coerce.number().min(0).max(3600).default(10),
  /** Failures in a row that a node is blamed for when it is drained; `enable` lets it take work again. 0: never. */
  SCAIMIND_CORDON_AFTER: z.coerce.number().int().min(0).max(10).default(2),
  /** The interpreter of CUSTOM scripts, and of SCAIMIND_TRAINERS, that end in .py. */
  SCAIMIND_PYTHON: z.string().default('python3'),
  /**
   * The operator's own training programs by framework, for any model: `FSDP=/opt/trainers/train.py,DEEPSPEED=/opt/trainers/train.py`. Each is run by its framework's
   * starter (torchrun for HF_TRAINER and MEGATRON, accelerate, deepspeed), found in the trainers' PATH; those that end in .py with SCAIMIND_PYTHON. Numbers that it
   * prints as JSON objects are metrics, unless it writes metrics.jsonl itself. Default: none.
   */
  SCAIMIND_TRAINERS: z.string().default('').transform(parseTrainers),
  /**
   * The Python interpreter of the trainer for real models, an absolute path, or a name; it has the packages of trainers/hf/requirements.lock. Default: that of the
   * environment that `scaimind trainers install` makes; with a wrapper or modules, the `python3` that is found there.
   */
  SCAIMIND_HF_PYTHON: z.string().optional(),
  /**
   * What happens where that environment has not been made: `manual`, jobs that need it are refused until somebody runs `scaimind trainers install`; `auto`, the
   * first such job has the coordinator run it, several GB, and jobs are refused, with how far it is, until it is done. Default manual.
   */
  SCAIMIND_HF_SETUP: z.enum(['manual', 'auto']).default('manual'),
  /** Words before what starts that interpreter, with quotes as in a shell: `apptainer exec --nv /images/hf.sif`. Default: none. */
  SCAIMIND_HF_WRAPPER: z.string().default('').transform(parseWrapper),
  /** Names for `module load` before that interpreter is started, separated by spaces; only for SCAIMIND_ENGINE=slurm. Default: none. */
  SCAIMIND_HF_MODULES: z.string().default('').transform(parseModules),
  /**
   * The hub that models and data sets by name come from: trainers are given it as HF_ENDPOINT, unless their job names another, and the coordinator asks it for the
   * commits that job are named by. Empty: the coordinator asks nobody, and trainers their default. Default https://huggingface.co.
   */
  SCAIMIND_HF_ENDPOINT: hub.default('https://huggingface.co'),
  /** The operator's checkout of Megatron-LM, for jobs of framework MEGATRON that bring none of their own. Default: none. */
  SCAIMIND_MEGATRON_PATH: z
    .string()
    .transform((path) => resolve(path))
    .optional(),
  /** The folder of caches; `scaimind/` in it has the environments that `scaimind trainers install` makes. Default `~/.cache`. */
  XDG_CACHE_HOME: z.string().default(join(homedir(), '.cache')),
})

/** Settings of `scaimind api`. */
export type ApiConfig = z.infer<typeof apiSettings>
/** Settings of `scaimind coordinator`. */
export type CoordinatorConfig = z.infer<typeof coordinatorSettings> & { SCAIMIND_DATA_ROOTS: string[] }

/** A start that is refused: one line that names every wrong setting. */
export class ConfigError extends Error {
  override name = 'ConfigError'
}

/** Reads the API's settings. Throws a ConfigError that names all mistakes at once. */
export function readApiConfig(env: Environment): ApiConfig {
  return read(apiSettings, { ...env, DATABASE_URL: databaseUrls(env).api })
}

/** Reads the coordinator's settings. Throws a ConfigError that names all mistakes at once. */
export function readCoordinatorConfig(env: Environment): CoordinatorConfig {
  const config = read(coordinatorSettings, { ...env, COORDINATOR_DATABASE_URL: databaseUrls(env).coordinator })
  return { ...config, SCAIMIND_DATA_ROOTS: config.SCAIMIND_DATA_ROOTS ?? [resolve(config.SCAIMIND_DATA_DIR, 'tenants/{tenant}/files')] }
}

/** The databases of both processes: DATABASE_URL names the server and the API's database, the coordinator's stands beside it unless COORDINATOR_DATABASE_URL says otherwise. */
export function databaseUrls(env: Environment): { api: string | undefined; coordinator: string | undefined } {
  const { DATABASE_URL, COORDINATOR_DATABASE_URL } = env
  if (!DATABASE_URL || !isDatabaseUrl(DATABASE_URL)) return { api: DATABASE_URL, coordinator: COORDINATOR_DATABASE_URL || DATABASE_URL }
  const url = new URL(DATABASE_URL)
  const name = url.pathname.slice(1)
  const at = (database: string) => Object.assign(new URL(url), { pathname: `/${database}` }).href
  return {
    api: at(name || 'scaimind_api'),
    coordinator: COORDINATOR_DATABASE_URL || at(name ? `${name}_coordinator` : 'scaimind_coordinator'),
  }
}

function read<Schema extends z.ZodType>(schema: Schema, env: Environment): z.infer<Schema> {
  const set = Object.fromEntries(Object.entries(env).filter(([, value]) => value !== ''))
  const result = schema.safeParse(set)
  if (result.success) return result.data
  const mistakes = result.error.issues.map(({ path, message, code }) => {
    const name = path.join('.')
    return code === 'invalid_type' && set[name] === undefined ? `${name} is not set` : `${name}: ${message}`
  })
  throw new ConfigError(`Settings: ${mistakes.join('; ')}.`)
}

function isDatabaseUrl(text: string): boolean {
  return URL.canParse(text) && /^(mysql|mariadb):$/.test(new URL(text).protocol)
}

function parseTenantSecrets(text: string, context: z.RefinementCtx): Map<string, string> {
  const secrets = new Map<string, string>()
  for (const pair of text.split(',').filter(Boolean)) {
    const [tenant = '', value = ''] = pair.split(/=(.*)/s)
    if (!isTenantId(tenant) || value.length < 16)
      context.addIssue(`"${tenant}" must read tenant=secret, the secret of at least 16 characters`)
    secrets.set(tenant, value)
  }
  return secrets
}

function parseTrainers(text: string, context: z.RefinementCtx): Map<string, string> {
  const known = frameworkTypes.filter((name) => name !== 'CUSTOM')
  const programs = new Map<string, string>()
  for (const pair of text.split(',').filter(Boolean)) {
    const [framework = '', path = ''] = pair.split(/=(.*)/s)
    if (!known.some((name) => name === framework) || !isAbsolute(path))
      context.addIssue(`"${pair}" must read framework=/path/of/program, the framework one of ${known.join(', ')}`)
    programs.set(framework, path)
  }
  return programs
}

function parseWrapper(text: string, context: z.RefinementCtx): string[] {
  const words = wordsOf(text)
  if (words === null) context.addIssue('has a quote that is not closed')
  return words ?? []
}

function parseModules(text: string, context: z.RefinementCtx): string[] {
  const names = text.split(/\s+/).filter(Boolean)
  // They stand in a script, in single quotes.
  for (const name of names)
    if (!/^[A-Za-z0-9_][A-Za-z0-9_.+/-]*$/.test(name))
      context.addIssue(`"${name}" is not the name of a module: letters, digits and _ . + / -`)
  return names
}

function parseAddresses(text: string, context: z.RefinementCtx): { host: string; port: number | undefined }[] {
  return text.split(',').map((part) => {
    const address = part.trim()
    const [, bracketed, plain, given] = /^(?:\[(.+)\]|([^:]+))(?::(\d+))?$/.exec(address) ?? []
    const ipv6 = bracketed ?? (isIPv6(address) ? address : undefined)
    const host = ipv6 ?? plain ?? ''
    const named = given === undefined ? undefined : Number(given)
    const isRight =
      (ipv6 === undefined ? /^[A-Za-z0-9_.-]+$/.test(host) : isIPv6(ipv6)) && (named === undefined || (named > 0 && named <= 65535))
    if (!isRight) context.addIssue(`"${address}" must read host, host:port or [IPv6]:port`)
    return { host, port: named }
  })
}

function parseClaims(text: string, context: z.RefinementCtx) {
  const claims = { tenant: 'tenant_id', roles: 'roles', permissions: 'permissions', tenants: 'tenants' }
  for (const pair of text.split(',').filter(Boolean)) {
    const [what = '', claim = ''] = pair.split(/=(.*)/s)
    if (!Object.hasOwn(claims, what) || !claim) {
      context.addIssue(`"${pair}" must read tenant=<claim>, roles=<claim>, permissions=<claim> or tenants=<claim>`)
    } else claims[what as keyof typeof claims] = claim
  }
  return claims
}
