import type { Logger } from 'pino'

/** Where the coordinator's own log goes. */
export type Log = Pick<Logger, 'debug' | 'info' | 'warn' | 'error'>
