import { rounded } from './support/figures.mjs'
import { prepare } from './support/packages.mjs'

const mutation = `mutation ($input: SubmitJobInput!) {
  submitJob(input: $input) { ... on SubmitJobSuccess { job { jobId status } } ... on Error { code message } }
}`

/** Submitting a job by GraphQL, which also puts it into the cache, and on the coordinator itself; one after the other, by turns. */
export async function measure() {
  prepare()
  const { realStack, waitingJob } = await import('./support/real-stack.mjs')
  const { grpcClient, httpClient, medians } = await import('./support/client.mjs')
  const stack = await realStack()
  const http = httpClient(stack.api.port, { authorization: `Bearer ${stack.key}` })
  const grpc = grpcClient(stack.coordinator.port, stack)
  const input = (name) => ({
    name,
    trainingConfig: {
      trainingType: 'LORA',
      baseModel: { modelId: 'scaimind/byte-tiny' },
      hyperparameters: [{ key: 'max_steps', value: '10' }],
    },
    dataConfig: { sources: [{ path: stack.path }], maxSeqLength: 64 },
    resourceConfig: { gpuCount: 0 },
    schedulingConfig: { startAfter: '2100-01-01T00:00:00Z' },
  })
  try {
    const ways = {
      graphql: async (turn) => {
        const { data } = await http.post('/graphql', JSON.stringify({ query: mutation, variables: { input: input(`graphql ${turn}`) } }))
        if (!data.submitJob.job) throw new Error(JSON.stringify(data))
      },
      grpc: (turn) => grpc.call('SubmitJob', { spec: waitingJob(stack.path, `grpc ${turn}`) }),
    }
    const p50 = await medians(ways, { turns: 200 })
    return { ratio_p50: rounded(p50.graphql / p50.grpc), graphql_p50_ms: rounded(p50.graphql), grpc_p50_ms: rounded(p50.grpc) }
  } finally {
    http.close()
    grpc.close()
    await stack.stop()
  }
}
