import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { credentials, Metadata, type ServiceError } from '@grpc/grpc-js'
import { stringify } from 'yaml'
import { camelPath, snakePath, toCamel } from '../../src/contract/casing.js'
import type { FieldProblem } from '../../src/contract/failure.js'
import { scaimindV1 } from '../../src/contract/proto.js'
import type { JobSpec } from '../../src/generated/proto/scaimind/v1/JobSpec.js'
import type { Stack } from './stack.js'
import type { Tenant } from './tenant.js'

/** A submission in the REST contract's names. */
export type Submission = { [key: string]: unknown }

/** How a door refused: a code of the vocabulary where the door has one, and what it said. Paths are in snake_case whatever the door's casing. */
export interface Refusal {
  code: string | undefined
  paths: string[]
  text: string
}

const freeForm = new Set([
  'labels',
  'hyperparameters',
  'environment',
  'model_kwargs',
  'config',
  'filters',
  'sampling',
  'field_mapping',
  'node_selector',
])

/** The same submission as a GraphQL input: camelCase, maps as lists of key and value. */
export function toGraphQLInput(value: unknown, key = ''): unknown {
  if (Array.isArray(value)) return value.map((item) => toGraphQLInput(item))
  if (value === null || typeof value !== 'object') return value
  const entries = Object.entries(value)
  if (freeForm.has(key)) return entries.map(([name, text]) => ({ key: name, value: String(text) }))
  return Object.fromEntries(entries.map(([name, inner]) => [toCamel(name), toGraphQLInput(inner, name)]))
}

/** Submits through one door and answers how it was refused. Throws where it was not. */
export type Door = (stack: Stack, tenant: Tenant, submission: Submission) => Promise<Refusal>

/** The doors that a submission can come through. */
export const doors: Record<'GraphQL' | 'REST' | 'gRPC' | 'command line', Door> = {
  GraphQL: (_stack, tenant, submission) => throughGraphQL(tenant, submission, 'mutation', 'submitJob(input: $input)'),
  REST: (_stack, tenant, submission) => throughRest(tenant, submission, '/jobs'),

  async gRPC(stack, tenant, submission) {
    const client = new scaimindV1.CoordinatorService(`127.0.0.1:${stack.coordinator.port}`, credentials.createInsecure())
    const metadata = new Metadata()
    metadata.set('x-api-secret', stack.secret)
    metadata.set('x-tenant-id', tenant.id)
    try {
      const error = await new Promise<ServiceError>((refused, accepted) =>
        client.submitJob({ spec: submission as JobSpec }, metadata, (fault) =>
          fault ? refused(fault) : accepted(new Error('gRPC accepted it.')),
        ),
      )
      const [code] = error.metadata.get('scaimind-code')
      const [details] = error.metadata.get('scaimind-details-bin')
      const fields = details ? (JSON.parse(details.toString()) as FieldProblem[]) : []
      return {
        code: code?.toString(),
        paths: fields.map(({ path }) => path),
        text: [error.details, ...fields.map(({ message }) => message)].join('\n'),
      }
    } finally {
      client.close()
    }
  },

  'command line': (stack, tenant, submission) => throughCommand(stack, tenant, submission, []),
}

/** The doors that only plan: the same mistakes are refused in the same words. */
export const dryRunDoors: Record<'planJob' | 'REST with dry_run' | 'command line with --dry-run', Door> = {
  planJob: (_stack, tenant, submission) => throughGraphQL(tenant, submission, 'query', 'planJob(input: $input)'),
  'REST with dry_run': (_stack, tenant, submission) => throughRest(tenant, submission, '/jobs?dry_run=true'),
  'command line with --dry-run': (stack, tenant, submission) => throughCommand(stack, tenant, submission, ['--dry-run']),
}

async function throughGraphQL(tenant: Tenant, submission: Submission, operation: 'query' | 'mutation', call: string): Promise<Refusal> {
  const document = `${operation} ($input: SubmitJobInput!) { it: ${call} { __typename ... on Error { code message } ... on InvalidInput { fields { path message } } } }`
  const { data, errors } = await tenant.graphql<{ it: { __typename: string; code: string; message: string; fields?: FieldProblem[] } }>(
    document,
    {
      input: toGraphQLInput(submission),
    },
  )
  if (errors) {
    const text = errors.map(({ message }) => message).join('\n')
    const paths = [...text.matchAll(/"input\.([\w.[\]]+)"/g)].map(([, path = '']) => snakePath(path))
    return { code: errors[0]?.extensions.code, paths, text }
  }
  const { code, message, fields = [] } = data.it
  if (!code) throw new Error('GraphQL accepted it.')
  for (const { path } of fields) if (path !== camelPath(path)) throw new Error(`${path} is not in the caller's casing`)
  return { code, paths: fields.map(({ path }) => snakePath(path)), text: [message, ...fields.map((field) => field.message)].join('\n') }
}

async function throughRest(tenant: Tenant, submission: Submission, path: string): Promise<Refusal> {
  const { body, status } = await tenant.rest('POST', path, submission)
  if (status < 400) throw new Error('REST accepted it.')
  const details: { field: string; message: string }[] = body.error.details ?? []
  return {
    code: body.error.code,
    paths: details.map(({ field }) => field),
    text: [body.error.message, ...details.map(({ message }) => message)].join('\n'),
  }
}

async function throughCommand(stack: Stack, tenant: Tenant, submission: Submission, options: string[]): Promise<Refusal> {
  const file = join(tenant.files, 'job.yaml')
  writeFileSync(file, stringify(submission))
  const { exitCode, stderr } = await scaimind(stack, tenant, ['job', 'submit', ...options, '-f', file])
  if (exitCode === 0) throw new Error('The command line accepted it.')
  return { code: undefined, paths: [...stderr.matchAll(/[a-z_]+(?:\.[\w]+|\[\d+\])+|\bname\b/g)].map(([path]) => path), text: stderr }
}

/** Runs the command as a user of this stack would. */
export async function scaimind(
  stack: Stack,
  tenant: Tenant,
  args: string[],
): Promise<{ exitCode: number | null; stdout: string; stderr: string }> {
  const main = resolve(import.meta.dirname, '../../dist/cli/main.js')
  const env = { PATH: process.env.PATH ?? '', SCAIMIND_URL: `http://127.0.0.1:${stack.api.port}`, SCAIMIND_API_KEY: tenant.key }
  const child = spawn(process.execPath, [main, ...args], { env, cwd: tenant.files, stdio: ['ignore', 'pipe', 'pipe'] })
  let stdout = ''
  let stderr = ''
  child.stdout.on('data', (chunk) => (stdout += chunk))
  child.stderr.on('data', (chunk) => (stderr += chunk))
  const [exitCode] = (await once(child, 'close')) as [number | null]
  return { exitCode, stdout, stderr }
}
