import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { tsImport } from 'tsx/esm/api'
import { cpuMs, median, rounded, setting } from './support/figures.mjs'
import { prepare } from './support/packages.mjs'

const mutation = `mutation ($input: SubmitJobInput!) {
  submitJob(input: $input) { ... on SubmitJobSuccess { job { jobId } } ... on Error { code message } }
}`
const waitMs = 100
/** Submissions under way at once, as of a program that has many to make. */
const atOnce = 8
const followedMs = 20_000

/**
 * Jobs submitted by GraphQL, eight at once, to a coordinator on a real Slurm, until all of them are in Slurm's queue, by turns with `sbatch` in a loop; then the processor
 * time of the coordinator while it follows them: as many run as have room, the others wait.
 */
export async function measure() {
  prepare()
  const jobs = setting('BENCH_JOBS', 500)
  const rounds = 5
  const { startSlurm } = await tsImport('../test/support/slurm-cluster.ts', import.meta.url)
  const { realStack } = await import('./support/real-stack.mjs')
  const { httpClient } = await import('./support/client.mjs')
  const cluster = await startSlurm()
  let stack
  let clients = []
  try {
    stack = await realStack({ SCAIMIND_ENGINE: 'slurm', SCAIMIND_SLURM_CONF: cluster.conf, SCAIMIND_ALLOW_CUSTOM_CODE: 'true' })
    clients = Array.from({ length: atOnce }, () => httpClient(stack.api.port, { authorization: `Bearer ${stack.key}` }))
    const script = join(stack.files, 'waits.mjs')
    writeFileSync(script, 'setInterval(() => {}, 1000)\n')
    const inSlurm = async () =>
      (await cluster.slurm('squeue', '-h', '-o', '%j')).split('\n').filter((name) => name.startsWith('scaimind-')).length
    const byGraphql = async (count, name) => {
      const body = JSON.stringify({ query: mutation, variables: { input: input(stack, script, name) } })
      let left = count
      const submit = async (client) => {
        while (left-- > 0) {
          const { data } = await client.post('/graphql', body)
          if (!data.submitJob.job) throw new Error(JSON.stringify(data))
        }
      }
      await Promise.all(clients.map(submit))
    }
    const bySbatch = async (count) => {
      const options = ['--parsable', '--hold', '--nodes=1', '--gres=gpu:1', '--output=/dev/null', '--wrap=sleep 600']
      for (let turn = 0; turn < count; turn++) await cluster.slurm('sbatch', ...options)
    }
    await byGraphql(5, 'warm')
    await bySbatch(5)
    const perRound = Math.ceil(jobs / rounds)
    const rates = { accepted: [], inSlurm: [], sbatch: [] }
    for (let round = 0, sent = 5; round < rounds; round++) {
      rates.sbatch.push(perRound / (await seconds(() => bySbatch(perRound))))
      await cluster.slurm('scancel', '--state=PENDING', '--name=wrap')
      let accepted = 0
      const all = await seconds(async () => {
        accepted = await seconds(() => byGraphql(perRound, `round ${round}`))
        sent += perRound
        while ((await inSlurm()) < sent) await delay(waitMs)
      })
      rates.accepted.push(perRound / accepted)
      rates.inSlurm.push(perRound / all)
    }
    await delay(5000)
    const before = { own: cpuMs(stack.coordinator.pid), withChildren: cpuWithChildrenMs(stack.coordinator.pid), at: performance.now() }
    await delay(followedMs)
    const passed = performance.now() - before.at
    const percent = (ms) => rounded((100 * ms) / passed, 1)
    const followed = await inSlurm()
    const cpu_percent = percent(cpuMs(stack.coordinator.pid) - before.own)
    const cpu_percent_with_commands = percent(cpuWithChildrenMs(stack.coordinator.pid) - before.withChildren)
    return {
      ratio_to_sbatch: rounded(median(rates.inSlurm) / median(rates.sbatch)),
      ratio_accepted_to_sbatch: rounded(median(rates.accepted) / median(rates.sbatch)),
      sbatch_per_second: rounded(median(rates.sbatch), 1),
      in_slurm_per_second: rounded(median(rates.inSlurm), 1),
      accepted_per_second: rounded(median(rates.accepted), 1),
      followed,
      cpu_percent,
      cpu_percent_with_commands,
    }
  } finally {
    for (const client of clients) client.close()
    await stack?.stop()
    await cluster.stop()
  }
}

const input = (stack, script, name) => ({
  name,
  trainingConfig: {
    trainingType: 'SFT',
    baseModel: { modelId: 'scaimind/byte-tiny' },
    framework: { type: 'CUSTOM', customScriptPath: script },
  },
  dataConfig: { sources: [{ path: stack.path }] },
  resourceConfig: { gpuCount: 1 },
})

async function seconds(work) {
  const start = performance.now()
  await work()
  return (performance.now() - start) / 1000
}

/** Milliseconds of processor time of a process and of those of its children that have ended. */
function cpuWithChildrenMs(pid) {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1].split(' ')
  return fields.slice(11, 15).reduce((sum, ticks) => sum + Number(ticks) * 10, 0)
}
