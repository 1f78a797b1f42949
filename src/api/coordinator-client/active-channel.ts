import { EventEmitter, once } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import { type ClientReadableStream, status } from '@grpc/grpc-js'
import type { MethodDefinition } from '@grpc/proto-loader'
import { service as healthService } from 'grpc-health-check'
import { type Channel, newLeaving } from './channel.js'
import { isServiceError } from './failure.js'

interface HealthAnswer {
  status: string
}

const connectWithinMs = 2000
const askAgainMs = 200
// One that has no health service is asked for it so often; it is taken to serve while it is connected.
const unknownServiceMs = 2000

interface Watched {
  channel: Channel
  /** Whether it has not yet answered, nor failed to. */
  isUnknown: boolean
  isServing: boolean
}

/**
 * One channel over those to several coordinators: calls go to the one that serves by `grpc.health.v1`, of which each is asked to tell every change. Where
 * two say so, as when one has stalled, it is the one that said it last. Once another is the active one, `left` aborts, so that calls which wait for the
 * former one are not kept waiting. The channels are closed with it.
 */
export function activeChannel(channels: [Channel, ...Channel[]]): Channel {
  const closing = new AbortController()
  const told = new EventEmitter().setMaxListeners(0)
  const watched = channels.map((channel): Watched => ({ channel, isUnknown: true, isServing: false }))
  /** Those that serve, the one that said so last in front. */
  let serving: Channel[] = []
  let current: Channel = channels[0]
  let leaving = newLeaving()
  for (const one of watched) void watch(one)

  function tell(one: Watched, isServing: boolean): void {
    const isChanged = one.isServing !== isServing
    Object.assign(one, { isServing, isUnknown: false })
    if (isChanged) {
      serving = serving.filter((channel) => channel !== one.channel)
      if (isServing) serving = [one.channel, ...serving]
      const [active] = serving
      if (active && active !== current) {
        current = active
        const left = leaving
        leaving = newLeaving()
        left.abort()
      }
    }
    told.emit('change')
  }

  async function watch(one: Watched): Promise<void> {
    const { signal } = closing
    while (!signal.aborted) {
      const error = (await one.channel.becomesReady(connectWithinMs)) ? await watchOnce(one) : undefined
      if (signal.aborted) return
      const hasNoHealth = isServiceError(error) && error.code === status.UNIMPLEMENTED
      tell(one, hasNoHealth)
      await delay(hasNoHealth ? unknownServiceMs : askAgainMs, undefined, { signal }).catch(() => {})
    }
  }

  /** Follows one stream of the health service to its end. Answers why it ended. */
  async function watchOnce(one: Watched): Promise<unknown> {
    const { path, requestSerialize, responseDeserialize } = healthService.Watch as MethodDefinition<{ service: string }, HealthAnswer>
    const stream = one.channel.client.makeServerStreamRequest(path, requestSerialize, responseDeserialize, { service: '' })
    const cancel = () => stream.cancel()
    closing.signal.addEventListener('abort', cancel)
    try {
      const answers = stream as ClientReadableStream<HealthAnswer> & AsyncIterable<HealthAnswer>
      for await (const answer of answers) tell(one, answer.status === 'SERVING')
      return undefined
    } catch (error) {
      return error
    } finally {
      closing.signal.removeEventListener('abort', cancel)
    }
  }

  return {
    get client() {
      return current.client
    },
    get left() {
      return leaving.signal
    },
    secret: channels[0].secret,
    isReady: () => serving[0]?.isReady() ?? false,
    async becomesReady(withinMs) {
      const deadline = Date.now() + withinMs
      const tooLate = AbortSignal.timeout(withinMs)
      while (serving.length === 0 && watched.some(({ isUnknown }) => isUnknown) && !tooLate.aborted) {
        await once(told, 'change', { signal: tooLate }).catch(() => {})
      }
      return (await serving[0]?.becomesReady(deadline - Date.now())) ?? false
    },
    close() {
      closing.abort()
      for (const channel of channels) channel.close()
    },
  }
}
