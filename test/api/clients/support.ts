import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { expect } from 'vitest'
import { type ApiUnderTest, eventually, type TenantUnderTest } from '../../support/api.js'

/** The metrics of a job, as a front end asks for them. */
export const metricsDocument = `subscription JobMetrics($jobId: ID!, $after: String) {
  jobMetrics(jobId: $jobId, after: $after) {
    __typename
    ... on MetricBatch { cursor records { step } }
    ... on StreamGap { cursor reason }
    ... on StreamEnd { cursor status }
  }
}`

/** A message of `metricsDocument`. */
export interface MetricEvent {
  __typename: string
  cursor: string
  records?: { step: number }[]
  status?: string
}

/** The last of its messages. */
export const completed = { __typename: 'StreamEnd', status: 'COMPLETED' }

/** Its variables. */
export interface MetricVariables {
  jobId: string
  after: string | null
}

/** A TCP relay in front of the API, whose connections a test breaks. */
export interface Relay {
  /** Where clients find the API. */
  url: string
  /** Connections so far. */
  connections(): number
  /** Destroys every open connection, on both sides. */
  cut(): void
  /** Lets half of the next message from the API through and then breaks that connection; resolves when it has. */
  tear(): Promise<void>
  close(): void
}

// What is smaller is a heartbeat or the like, no message.
const messageBytesMin = 200

/** Starts a relay to an API. With a header, it adds that line to every request, as a reverse proxy that signs its users in. */
export async function startRelay(apiUrl: string, header?: string): Promise<Relay> {
  const pairs = new Set<readonly [Socket, Socket]>()
  let torn: (() => void) | undefined
  let connections = 0
  const server = createServer((near) => {
    connections++
    const far = connect(Number(new URL(apiUrl).port), new URL(apiUrl).hostname)
    const pair = [near, far] as const
    pairs.add(pair)
    near.on('data', (chunk: Buffer) => far.write(header ? withHeader(chunk, header) : chunk))
    far.on('data', (chunk: Buffer) => {
      if (!torn || chunk.length < messageBytesMin) return near.write(chunk)
      near.end(chunk.subarray(0, chunk.length / 2))
      far.destroy()
      torn()
      torn = undefined
    })
    for (const [socket, other] of [pair, [far, near] as const]) {
      // A broken connection is what this is for.
      socket.on('error', () => {})
      socket.on('close', () => {
        pairs.delete(pair)
        other.end()
      })
    }
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const cut = () => {
    for (const socket of [...pairs].flat()) socket.destroy()
  }
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    connections: () => connections,
    cut,
    tear: () =>
      new Promise((resolve) => {
        torn = resolve
      }),
    close() {
      server.close()
      cut()
    },
  }
}

const withHeader = (chunk: Buffer, header: string) =>
  Buffer.from(chunk.toString('latin1').replace(/^(GET|POST) \S+ HTTP\/1\.1\r\n/, `$&${header}\r\n`), 'latin1')

/** A job of the tenant that the API knows of. */
export async function knownJob({ stub }: ApiUnderTest, tenant: TenantUnderTest, job: object = {}): Promise<string> {
  const { job_id } = stub.addJob(tenant.id, job)
  await eventually(async () => (await tenant.graphql('{ jobs { nodes { jobId } } }')).data.jobs.nodes[0]?.jobId === job_id)
  return job_id
}

/** Follows the metrics of a job to their end, whatever happens to the connection, and tells each message. */
export type Follow = (jobId: string, tell: (event: MetricEvent) => void) => Promise<void>

/**
 * The life of a client's subscription: it is told what there is and what comes, loses its connection between two messages, and then in the middle of
 * one, goes on, and is told the end. Expects that it was told every step once and in order; answers its messages that hold no steps.
 */
export async function expectEveryStepOnce(
  under: ApiUnderTest,
  tenant: TenantUnderTest,
  relay: Relay,
  follow: Follow,
): Promise<MetricEvent[]> {
  const jobId = await knownJob(under, tenant)
  const { stub } = under
  stub.writeMetrics(jobId, 60)
  const told = toldEvents()
  const ended = follow(jobId, told.tell)
  const untilStep = (step: number) => Promise.race([told.untilStep(step), ended.then(() => expect.fail(`It ended before step ${step}.`))])

  await untilStep(60)
  stub.writeMetrics(jobId, 5)
  await untilStep(65)
  const before = relay.connections()
  relay.cut()
  stub.writeMetrics(jobId, 30)
  await untilStep(95)
  const torn = relay.tear()
  stub.writeMetrics(jobId, 30)
  await torn
  await untilStep(125)
  expect(relay.connections() - before).toBeGreaterThanOrEqual(2)
  stub.end(jobId)
  await ended

  expect(told.steps()).toEqual(Array.from({ length: 125 }, (_, index) => index + 1))
  return told.events.filter(({ records }) => !records)
}

function toldEvents() {
  const events: MetricEvent[] = []
  const steps = () => events.flatMap(({ records = [] }) => records.map(({ step }) => step))
  let heard = () => {}
  return {
    events,
    steps,
    tell(event: MetricEvent) {
      events.push(event)
      heard()
    },
    async untilStep(step: number) {
      while (!steps().includes(step)) {
        await new Promise<void>((resolve) => {
          heard = resolve
        })
      }
    },
  }
}

/** One subscription: tells its messages, resolves when it is complete, and rejects when it fails. */
export type Subscribe = (variables: MetricVariables, tell: (event: MetricEvent) => void) => Promise<void>

/** Subscribes again, after the last message, as often as the connection breaks. */
export function resubscribing(subscribe: Subscribe, isBrokenConnection: (error: unknown) => boolean): Follow {
  return async (jobId, tell) => {
    let after: string | null = null
    for (;;) {
      try {
        return await subscribe({ jobId, after }, (event) => {
          after = event.cursor
          tell(event)
        })
      } catch (error) {
        if (!isBrokenConnection(error)) throw error
      }
    }
  }
}
