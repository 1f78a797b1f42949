import { connect, createServer, type Socket } from 'node:net'
import { freshDatabase } from './database.js'

/** A fresh API database whose statements are counted on the wire, whatever client sends them. */
export interface CountedDatabase {
  url: string
  /** Statements so far that read or write jobs; what polls in the background is left out. */
  statements: string[]
  close(): void
}

const query = 0x03
const prepare = 0x16
const execute = 0x17

/** Stands between client and server. */
export async function countedDatabase(): Promise<CountedDatabase> {
  const target = new URL(await freshDatabase('api'))
  const statements: string[] = []
  const sockets = new Set<Socket>()
  const server = createServer((client) => {
    const upstream = connect(Number(target.port), target.hostname)
    const prepared = new Map<number, string>()
    let preparing = ''
    const fromClient = packets((sequence, body) => {
      if (sequence !== 0) return
      if (body[0] === query) note(body.toString('utf8', 1))
      if (body[0] === prepare) preparing = body.toString('utf8', 1)
      if (body[0] === execute) note(prepared.get(body.readUInt32LE(1)) ?? preparing)
    })
    const fromServer = packets((sequence, body) => {
      // The answer to a prepare: OK and the number of the statement.
      if (preparing === '' || sequence !== 1 || body[0] !== 0 || body.length !== 12) return
      prepared.set(body.readUInt32LE(1), preparing)
      preparing = ''
    })
    client.on('data', fromClient).pipe(upstream)
    upstream.on('data', fromServer).pipe(client)
    for (const socket of [client, upstream]) {
      sockets.add(socket)
      socket.on('error', () => {}).on('close', () => sockets.delete(socket))
    }
  })
  const note = (text: string) => {
    if (/\bjob\b/.test(text)) statements.push(text)
  }
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening))
  const { port } = server.address() as { port: number }
  return {
    url: Object.assign(new URL(target), { hostname: '127.0.0.1', port: String(port) }).href,
    statements,
    close() {
      server.close()
      for (const socket of sockets) socket.destroy()
    },
  }
}

/** Reads the protocol's packets out of a stream: three bytes of length, one of sequence, the body. */
function packets(take: (sequence: number, body: Buffer) => void): (chunk: Buffer) => void {
  let pending = Buffer.alloc(0)
  return (chunk) => {
    pending = Buffer.concat([pending, chunk])
    for (;;) {
      const length = pending.length < 4 ? Number.POSITIVE_INFINITY : pending.readUIntLE(0, 3)
      if (pending.length < 4 + length) return
      take(pending[3] as number, pending.subarray(4, 4 + length))
      pending = pending.subarray(4 + length)
    }
  }
}
