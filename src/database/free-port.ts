import { randomInt } from 'node:crypto'
import { createServer } from 'node:net'

// Below the range that systems take the ports of outgoing connections from: a server that is started again would find such a port taken.
const lowest = 20_000
const highest = 32_000

/** A port of 127.0.0.1 that nobody listens on at the moment, and that stays free for a server that is stopped and started again. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = randomInt(lowest, highest)
    if (await isFree(port)) return port
  }
}

/** Whether nobody listens on this port of 127.0.0.1. */
export function isFree(port: number): Promise<boolean> {
  return new Promise((done) => {
    const server = createServer()
    server.once('error', () => done(false))
    server.listen(port, '127.0.0.1', () => server.close(() => done(true)))
  })
}
