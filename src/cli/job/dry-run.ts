import { snakePath, toCamel } from '../../contract/casing.js'
import { UsageError } from '../failure.js'
import { graphqlRequest } from '../graphql.js'
import { type Submission, stringMaps } from './job-file.js'
import type { ServerAddress } from './server.js'

const mutation = `mutation DryRun($input: SubmitJobInput!) {
  submitJob(input: $input, dryRun: true) {
    __typename
    ... on SubmitJobSuccess { plan { records tokens totalSteps nodes startsNow jobsAhead } }
    ... on InvalidInput { message fields { path message } }
    ... on Error { code message }
  }
}`

interface Plan {
  records: string | number
  tokens: string | number
  totalSteps: string | number
  nodes: string[]
  startsNow: boolean
  jobsAhead: number
}

interface Answer {
  submitJob: { __typename: string; plan?: Plan; code?: string; message?: string; fields?: { path: string; message: string }[] }
}

/** Checks a submission and prints what it would take. Throws UsageError naming every field that is wrong. */
export async function dryRun(server: ServerAddress, submission: Submission, asJson: boolean): Promise<void> {
  const { submitJob: answer } = await graphqlRequest<Answer>(server, mutation, { input: toInput(submission) })
  if (!answer.plan) {
    const fields = (answer.fields ?? []).map(({ path, message }) => `\n  ${snakePath(path)}: ${message}`).join('')
    throw new UsageError(fields === '' ? `${answer.message} (${answer.code})` : `The input is not valid:${fields}`)
  }
  process.stdout.write(asJson ? `${JSON.stringify(answer.plan)}\n` : describe(answer.plan))
}

function describe({ records, tokens, totalSteps, nodes, startsNow, jobsAhead }: Plan): string {
  const where = nodes.length > 0 ? ` on ${nodes.join(', ')}` : ''
  const ahead = jobsAhead === 0 ? 'a free place' : `${jobsAhead} job${jobsAhead === 1 ? '' : 's'} ahead of it`
  return `The job is valid: ${records} records, ${tokens} tokens, ${totalSteps} steps.
${startsNow ? 'It would start at once' : `It would wait for ${ahead}`}${where}.
`
}

/** The REST submission in GraphQL's words: fields in camel case, free-form maps as lists of key and value. */
export function toInput(value: unknown, path = ''): unknown {
  if (Array.isArray(value)) return value.map((item) => toInput(item, `${path}.*`))
  if (typeof value !== 'object' || value === null) return value
  const at = path.replace(/^\./, '')
  if (stringMaps.includes(at)) return Object.entries(value).map(([key, entry]) => ({ key, value: entry }))
  return Object.fromEntries(Object.entries(value).map(([name, entry]) => [toCamel(name), toInput(entry, `${path}.${name}`)]))
}
