// `ws` alone: sends the same bytes to everybody in a room, so often a second. What is sent is a message of ours, with the time of its sending put in.
import { createServer } from 'node:http'
import { WebSocketServer } from 'ws'

const rooms = new Map()
const sockets = new WebSocketServer({ noServer: true, perMessageDeflate: false })
const server = createServer().on('upgrade', (request, socket, head) => {
  const room = new URL(request.url, 'http://localhost').searchParams.get('room')
  sockets.handleUpgrade(request, socket, head, (client) => {
    const clients = rooms.get(room) ?? new Set()
    rooms.set(room, clients.add(client))
    client.on('close', () => clients.delete(client))
  })
})

let timers = []
process.on('message', ({ start, pause }) => {
  for (const timer of timers) clearTimeout(timer)
  timers = []
  if (pause || !start) return
  const { template, perSecond, first } = start
  const everyMs = 1000 / perSecond
  const names = [...rooms.keys()]
  names.forEach((name, index) => {
    let step = first
    const tell = () => {
      const data = Buffer.from(
        template.replace(/"step":\d+/, `"step":${step++}`).replace(/"time":"[^"]+"/, `"time":"${new Date().toISOString()}"`),
      )
      for (const client of rooms.get(name)) client.send(data, { binary: false })
    }
    timers.push(
      setTimeout(
        () => {
          tell()
          timers.push(setInterval(tell, everyMs))
        },
        (index * everyMs) / names.length,
      ),
    )
  })
})
process.on('SIGTERM', () => process.exit(0))
server.listen(0, '127.0.0.1', () => process.send({ port: server.address().port }))
