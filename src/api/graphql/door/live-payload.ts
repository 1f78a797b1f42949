/** One message of a subscription as it goes out, the same bytes for every reader. */
export class LivePayload {
  private socketTail: Buffer | undefined
  private sse: Buffer | undefined

  constructor(
    /** The result of the execution, as JSON. */
    private readonly json: string,
    /** The message's cursor, whatever the operation selects; undefined where it has none. */
    private readonly cursor: string | undefined,
    /** Whether something could not be told. */
    readonly isFaulty: boolean,
  ) {}

  /** What follows `…,"payload":` in a message of graphql-ws. */
  get socketBytes(): Buffer {
    this.socketTail ??= Buffer.from(`${this.json}}`)
    return this.socketTail
  }

  /** A `next` event of GraphQL over SSE. Its id is the cursor, which a browser that reconnects says in `Last-Event-ID`. */
  get sseBytes(): Buffer {
    this.sse ??= Buffer.from(`event: next\n${this.cursor ? `id: ${this.cursor}\n` : ''}data: ${this.json}\n\n`)
    return this.sse
  }
}
