import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { httpClient } from './client.mjs'

const mutation = `mutation ($input: SubmitJobInput!) {
  submitJob(input: $input) { ... on SubmitJobSuccess { job { jobId } } ... on Error { code message } }
}`

/** Submits a job that runs a Node script which waits for the file `go`; answers its id. The stack must allow custom code. */
export async function submitScript(stack, scriptFor) {
  const [script, go] = [join(stack.files, 'script.mjs'), join(stack.files, 'go')]
  writeFileSync(script, `${untilTold(go)}\n${scriptFor}`)
  const http = httpClient(stack.api.port, { authorization: `Bearer ${stack.key}` })
  const input = {
    name: 'benchmark',
    trainingConfig: {
      trainingType: 'SFT',
      baseModel: { modelId: 'scaimind/byte-tiny' },
      framework: { type: 'CUSTOM', customScriptPath: script },
    },
    dataConfig: { sources: [{ path: stack.path }] },
    resourceConfig: { gpuCount: 0 },
  }
  try {
    const { data } = await http.post('/graphql', JSON.stringify({ query: mutation, variables: { input } }))
    if (!data.submitJob.job) throw new Error(JSON.stringify(data))
    return { jobId: data.submitJob.job.jobId, start: () => writeFileSync(go, '') }
  } finally {
    http.close()
  }
}

// It gives up in the end, so that no process stays.
const untilTold = (go) => `import { existsSync, writeFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
async function untilTold() {
  for (let waited = 0; !existsSync(${JSON.stringify(go)}); waited += 20) {
    if (waited > 120_000) process.exit(1)
    await sleep(20)
  }
}`
