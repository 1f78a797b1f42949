import { rounded } from './support/figures.mjs'
import { prepare } from './support/packages.mjs'

/** Reading one job by REST and on the coordinator itself; one after the other, by turns. */
export async function measure() {
  prepare()
  const { realStack, waitingJob } = await import('./support/real-stack.mjs')
  const { grpcClient, httpClient, medians } = await import('./support/client.mjs')
  const stack = await realStack()
  const http = httpClient(stack.api.port, { authorization: `Bearer ${stack.key}` })
  const grpc = grpcClient(stack.coordinator.port, stack)
  try {
    const { job } = await grpc.call('SubmitJob', { spec: waitingJob(stack.path, 'shim') })
    const ways = {
      rest: async () => {
        const { data } = await http.get(`/v1/modules/scaimind/jobs/${job.job_id}`)
        if (data.job_id !== job.job_id) throw new Error(JSON.stringify(data))
      },
      grpc: () => grpc.call('GetJob', { job_id: job.job_id }),
    }
    const p50 = await medians(ways, { turns: 1000, warm: 200 })
    return { ratio_p50: rounded(p50.rest / p50.grpc), rest_p50_ms: rounded(p50.rest), grpc_p50_ms: rounded(p50.grpc) }
  } finally {
    http.close()
    grpc.close()
    await stack.stop()
  }
}
