import type { Logger } from 'pino'
import { type Call, createCall } from './call.js'
import { type ChannelOptions, openChannel } from './channel.js'
import type { Method } from './methods.js'
import { createOpenStream, type OpenStream } from './stream.js'
import { createUpload, type Upload } from './upload.js'

/** The coordinator as the API sees it. */
export interface CoordinatorClient {
  call: Call
  openStream: OpenStream
  upload: Upload
  /** Whether the coordinator is connected now. */
  isReady(): boolean
  close(): void
}

/** Connects to the coordinator. `onResult` is told how each call ended: `OK` or a code. */
export function connectCoordinator(
  options: ChannelOptions & { timeoutMs: number; log: Logger; onResult?: (method: Method, code: string) => void },
): CoordinatorClient {
  const channel = openChannel(options)
  return {
    call: createCall(channel, options),
    openStream: createOpenStream(channel, options),
    upload: createUpload(channel, options),
    isReady: channel.isReady,
    close: channel.close,
  }
}
