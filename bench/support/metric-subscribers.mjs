// Subscribers of one job's metrics, a process of its own: each with a client of graphql-ws that comes back by itself and goes on after its last cursor.
import { setTimeout as sleep } from 'node:timers/promises'
import { createClient } from 'graphql-ws'
import WebSocket from 'ws'
import { answerParent } from './answer-parent.mjs'
import { percentile } from './figures.mjs'

const query = `subscription ($id: ID!, $after: String) {
  jobMetrics(jobId: $id, after: $after) {
    ... on MetricBatch { cursor thinned records { step time } }
    ... on StreamGap { cursor reason }
    ... on StreamEnd { status }
  }
}`
const subscribers = []

/** Steps 0 to `last`; what was got of them and when. */
function newSubscriber(last) {
  const got = { seen: new Uint8Array(last + 1), repeated: 0, outOfOrder: 0, thinned: 0, gaps: 0, connections: 0, errors: 0, end: null }
  // When a message came, and when its newest record was written.
  const arrivals = []
  let next = 0
  let begun = () => {}
  const hasBegun = new Promise((resolve) => {
    begun = resolve
  })
  return {
    got,
    arrivals,
    hasBegun,
    isOver: undefined,
    take({ records, thinned }) {
      got.thinned += thinned
      for (const { step } of records) {
        if (got.seen[step]) got.repeated++
        else if (step < next) got.outOfOrder++
        got.seen[step] = 1
        next = Math.max(next, step + 1)
      }
      arrivals.push({ at: Date.now(), newest: Date.parse(records.at(-1).time) })
      begun()
    },
    /** From a kill to the first record that was written after it; undefined where none came. */
    msToLive(kill) {
      const live = arrivals.find(({ newest }) => newest >= kill.at)
      return live && live.at - kill.at
    },
  }
}

async function read(subscriber, { port, key, jobId }) {
  const { got } = subscriber
  let after = null
  const client = createClient({
    url: `ws://127.0.0.1:${port}/graphql`,
    webSocketImpl: WebSocket,
    connectionParams: { authorization: `Bearer ${key}` },
    retryAttempts: Number.POSITIVE_INFINITY,
    shouldRetry: () => true,
    // So many that ask more often would take the machine from the server that starts.
    retryWait: () => sleep(250 + Math.random() * 500),
    on: { connected: () => got.connections++ },
  })
  // The client says the same again when it comes back: where to go on is asked for at that moment.
  const variables = {
    id: jobId,
    get after() {
      return after
    },
  }
  const next = ({ data, errors }) => {
    if (!data?.jobMetrics) return complain(errors)
    const { cursor, records, reason, status } = data.jobMetrics
    if (records) subscriber.take(data.jobMetrics)
    if (reason) got.gaps++
    after = cursor ?? after
    got.end = status ?? got.end
  }
  const complain = (errors) => {
    got.errors++
    const said = Array.isArray(errors) ? errors.map(({ message, extensions }) => `${extensions?.code}: ${message}`).join() : errors
    if (got.errors === 1) process.stderr.write(`A subscriber was told: ${said}\n`)
  }
  // An error ends a subscription, and is no reason to come back for the client: a front end asks again.
  while (!got.end) {
    await new Promise((resolve) => {
      client.subscribe(
        { query, variables },
        {
          next,
          complete: resolve,
          error(errors) {
            complain(errors)
            resolve()
          },
        },
      )
    })
    if (!got.end) await sleep(200)
  }
  await client.dispose()
}

answerParent({
  /** Answers when every subscriber has the first record. */
  async begin({ count, last, ...place }) {
    for (let index = 0; index < count; index++) {
      const subscriber = newSubscriber(last)
      subscriber.isOver = read(subscriber, place)
      subscribers.push(subscriber)
    }
    await Promise.all(subscribers.map(({ hasBegun }) => hasBegun))
    return {}
  },
  /** Answers when every stream is over. */
  async end() {
    await Promise.all(subscribers.map(({ isOver }) => isOver))
    return {}
  },
  async figures({ printed, kills }) {
    const sum = (name) => subscribers.reduce((total, { got }) => total + got[name], 0)
    const missing = ({ got }) => printed + 1 - got.seen.subarray(0, printed + 1).reduce((total, one) => total + one, 0)
    const toLive = (some) => some.flatMap((kill) => subscribers.flatMap((subscriber) => subscriber.msToLive(kill) ?? []))
    const [all, ofApi, ofCoordinator] = [() => true, ({ name }) => name === 'api', ({ name }) => name === 'coordinator'].map((which) =>
      toLive(kills.filter(which)),
    )
    return {
      lost: subscribers.reduce((total, subscriber) => total + missing(subscriber), 0),
      repeated: sum('repeated'),
      out_of_order: sum('outOfOrder'),
      thinned: sum('thinned'),
      gaps: sum('gaps'),
      ended: subscribers.filter(({ got }) => got.end === 'COMPLETED').length,
      median_ms_to_live: percentile(all, 50),
      p99_ms_to_live: percentile(all, 99),
      median_ms_to_live_api: percentile(ofApi, 50),
      median_ms_to_live_coordinator: percentile(ofCoordinator, 50),
      never_live: subscribers.length * kills.length - all.length,
      connections: sum('connections'),
      errors: sum('errors'),
    }
  },
})
