import { isFree } from '../../database/free-port.js'
import { type Stack, startStack } from '../up/stack.js'

const usualPort = 8080

/** Starts everything as `scaimind up` does, on the usual port where that is free and none was asked for. */
export async function startDemoStack({
  port,
  ...options
}: {
  dataDir: string
  port: number | undefined
  dataRoots: string[]
  onNotice: (message: string) => void
}): Promise<Stack> {
  const chosen = port ?? ((await isFree(usualPort)) ? usualPort : 0)
  return await startStack({ ...options, port: chosen, env: process.env })
}
