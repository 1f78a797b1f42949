import { CommandFailed } from '../failure.js'
import { graphqlRequest } from '../graphql.js'
import type { JobMessage } from './messages.js'
import type { ServerAddress } from './server.js'

interface Answer {
  registeredModels: { nodes: { path: string; checkpointStep: string | null }[] }
}

const query = `query ($jobId: ID!) {
  registeredModels(filter: { jobId: $jobId }, first: 20) { nodes { path checkpointStep } }
}`

/** Paths of the registered models that are a job's output, the one that its own answer names first: an adapter and what it was merged into are two. */
export async function registeredPaths(server: ServerAddress, { job_id: jobId, output }: JobMessage): Promise<string[]> {
  const own = output?.registered_path
  if (!own) return []
  try {
    const { nodes } = (await graphqlRequest<Answer>(server, query, { jobId })).registeredModels
    return [own, ...nodes.filter(({ path, checkpointStep }) => checkpointStep === null && path !== own).map(({ path }) => path)]
  } catch (error) {
    // The coordinator is away, and the job is told all the same.
    if (error instanceof CommandFailed) return [own]
    throw error
  }
}
