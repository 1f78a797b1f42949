import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { loraInput, submit } from './support/jobs.js'
import { keepOnFailure, type Stack, startStack } from './support/stack.js'
import type { Tenant } from './support/tenant.js'

let stack: Stack

beforeAll(async () => {
  stack = await startStack()
})
afterAll(async () => {
  await stack?.close()
})

interface MetricEvent {
  __typename: 'MetricBatch' | 'StreamGap' | 'StreamEnd'
  cursor: string
  status?: string
  records?: { step: number; attempt: number; values: { name: string }[] }[]
}
interface LogEvent {
  __typename: 'LogBatch' | 'StreamGap' | 'StreamEnd'
  cursor: string
  records?: { text: string }[]
}

const metricsQuery = `subscription ($id: ID!, $after: String) {
  jobMetrics(jobId: $id, after: $after) {
    __typename
    ... on MetricBatch { cursor records { step attempt values { name } } }
    ... on StreamGap { cursor reason }
    ... on StreamEnd { cursor status }
  }
}`
const logsQuery = `subscription ($id: ID!, $after: String) {
  jobLogs(jobId: $id, after: $after) {
    __typename
    ... on LogBatch { cursor records { text } }
    ... on StreamGap { cursor reason }
    ... on StreamEnd { cursor status }
  }
}`

/** Reads a stream to its end the way a front end does: when the connection breaks, it connects again after its last cursor. */
async function* resumed<Event extends { __typename: string; cursor: string }>(
  tenant: Tenant,
  query: string,
  field: string,
  id: string,
): AsyncGenerator<Event> {
  let after: string | null = null
  for (let broken = 0; broken < 1000; broken++) {
    try {
      for await (const data of tenant.subscribe<Record<string, Event>>(query, { id, after })) {
        const event = data[field] as Event
        yield event
        if (event.__typename === 'StreamEnd') return
        after = event.cursor
      }
    } catch {
      // The API is away; there is nothing to await but its return.
      await new Promise((later) => setTimeout(later, 100))
    }
  }
  throw new Error(`The stream ${field} never ended.`)
}

describe('Killing the servers in the middle of a job', () => {
  it('a subscriber that resumes by cursor sees every step and every log line exactly once', async () => {
    keepOnFailure(stack)
    const tenant = await stack.tenant()
    const steps = 700
    const jobId = await submit(tenant, loraInput(tenant, { steps }))

    const logs: string[] = []
    const reading = (async () => {
      for await (const event of resumed<LogEvent>(tenant, logsQuery, 'jobLogs', jobId)) {
        logs.push(...(event.records ?? []).map(({ text }) => text))
      }
    })()

    const seen: number[] = []
    const kills = [
      { at: 20, victims: [stack.api] },
      { at: 120, victims: [stack.coordinator] },
      { at: 240, victims: [stack.coordinator, stack.api] },
      { at: 360, victims: [stack.api] },
      { at: 480, victims: [stack.coordinator] },
    ]
    let status: string | undefined
    for await (const event of resumed<MetricEvent>(tenant, metricsQuery, 'jobMetrics', jobId)) {
      for (const { step, values } of event.records ?? []) if (values.some(({ name }) => name === 'loss')) seen.push(step)
      status = event.status ?? status
      const kill = kills[0]
      if (kill && (seen.at(-1) ?? 0) >= kill.at) {
        kills.shift()
        for (const victim of kill.victims) await victim.kill()
        for (const victim of kill.victims) await victim.start()
      }
    }
    await reading

    expect(kills).toEqual([])
    expect(seen).toEqual(Array.from({ length: steps }, (_, i) => i + 1))
    expect(status).toBe('COMPLETED')
    const journal = readFileSync(join(stack.dataDir, 'jobs', tenant.id, jobId, 'attempts/1/logs.0.jsonl'), 'utf8')
    const lines = journal.trimEnd().split('\n')
    expect(logs).toEqual(lines.map((line) => (JSON.parse(line) as { text: string }).text))
  })
})
