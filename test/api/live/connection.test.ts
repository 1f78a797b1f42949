import { PassThrough } from 'node:stream'
import { expect, it } from 'vitest'
import { Connection, type SocketStream } from '../../../src/api/graphql/door/connection.js'

it('A connection that took what waited for it is alive, though its client had no time to answer yet', () => {
  const socket = new PassThrough()
  // As a server makes it.
  const connection: Connection = Reflect.construct(Connection, [null, undefined, {}])
  connection.begin(socket, {})
  const told: string[] = []
  // Asked, and full since.
  connection.isAlive = false
  connection.onDrain({ drained: () => told.push('drained') } as unknown as SocketStream)
  expect(connection.isStalled).toBe(true)
  socket.emit('drain')
  expect(told).toEqual(['drained'])
  expect(connection.isStalled).toBe(false)
  expect(connection.isAlive).toBe(true)
})
