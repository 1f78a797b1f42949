import type { Logger } from 'pino'
import { activeChannel } from './active-channel.js'
import { type Call, createCall } from './call.js'
import { type Address, type ChannelOptions, openChannel } from './channel.js'
import type { Method } from './methods.js'
import { createOpenStream, type OpenStream } from './stream.js'
import { createUpload, type Upload } from './upload.js'

/** The coordinator as the API sees it. */
export interface CoordinatorClient {
  call: Call
  openStream: OpenStream
  upload: Upload
  /** Whether the coordinator is connected now; of several, the active one. */
  isReady(): boolean
  close(): void
}

/** Connects to the coordinator; of several to all, and follows the active one. `onResult` is told how each call ended: `OK` or a code. */
export function connectCoordinator(
  options: ChannelOptions & { addresses: Address[]; timeoutMs: number; log: Logger; onResult?: (method: Method, code: string) => void },
): CoordinatorClient {
  const [first, ...others] = options.addresses.map((address) => openChannel(address, options))
  if (!first) throw new Error('No address of a coordinator was given.')
  const channel = others.length > 0 ? activeChannel([first, ...others]) : first
  return {
    call: createCall(channel, options),
    openStream: createOpenStream(channel, options),
    upload: createUpload(channel, options),
    isReady: channel.isReady,
    close: channel.close,
  }
}
