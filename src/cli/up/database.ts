import { type PrivateServer, startPrivateServer } from '../../database/private-server.js'

/** A private database that is kept running. */
export interface SupervisedDatabase {
  url: string
  /** The pid of the server that runs now. */
  readonly pid: number
  /** Shuts it down in order; twice is fine. */
  stop(): Promise<void>
}

const retryMs = 1000

/** Starts the private database of a data folder, and starts it again, at the same address, whenever it ends unasked. */
export async function superviseDatabase(dataDir: string, onNotice: (message: string) => void): Promise<SupervisedDatabase> {
  let server = await startPrivateServer(dataDir)
  let isWanted = true
  let restarting: Promise<void> = Promise.resolve()

  const keep = (current: PrivateServer) => {
    void current.ended.then(() => {
      if (!isWanted) return
      onNotice('The private database ended and is started again.')
      restarting = restart()
    })
  }
  const restart = async () => {
    while (isWanted) {
      try {
        server = await startPrivateServer(dataDir)
        keep(server)
        return
      } catch (error) {
        onNotice(error instanceof Error ? error.message : String(error))
        await new Promise((done) => setTimeout(done, retryMs))
      }
    }
  }
  keep(server)
  return {
    url: server.url,
    get pid() {
      return server.pid
    },
    async stop() {
      isWanted = false
      await restarting
      await server.stop()
    },
  }
}
