/** What live streams are told apart by, for those who count. */
export const streamKinds = ['metrics', 'logs', 'events', 'cluster'] as const
export type StreamKind = (typeof streamKinds)[number]

/** What the live streams did so far, and have open. */
export interface StreamCounts {
  /** Streams from the coordinator that are open. */
  upstreams: Record<StreamKind, number>
  /** Messages that came from the coordinator. */
  messagesIn: Record<StreamKind, number>
  /** Metric records that were left out for readers who asked for fewer or took too little. */
  thinned: number
}

const zeros = (): Record<StreamKind, number> => ({ metrics: 0, logs: 0, events: 0, cluster: 0 })

export const streamCounts = (): StreamCounts => ({ upstreams: zeros(), messagesIn: zeros(), thinned: 0 })
