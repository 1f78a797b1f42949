/** The gravity of a line. */
export type Level = 'DEBUG' | 'INFO' | 'WARN' | 'ERROR'

const levels: Record<string, Level> = {
  trace: 'DEBUG',
  debug: 'DEBUG',
  info: 'INFO',
  notice: 'INFO',
  warn: 'WARN',
  warning: 'WARN',
  err: 'ERROR',
  error: 'ERROR',
  exception: 'ERROR',
  severe: 'ERROR',
  critical: 'ERROR',
  fatal: 'ERROR',
  i: 'INFO',
  w: 'WARN',
  e: 'ERROR',
  f: 'ERROR',
}

const patterns = [
  // {"level": "error", …}
  /"(?:level|levelname|severity)"\s*:\s*"(\w+)"/i,
  // W0312 10:11:12.123 …, as glog and absl write
  /^([IWEF])\d{4} \d\d:\d\d/,
  // 2026-01-01 10:11:12 - trainer - WARNING - …, [rank0] ERROR: …
  /(?:^|[\s[(|:<-])(TRACE|DEBUG|INFO|NOTICE|WARN|WARNING|ERR|ERROR|SEVERE|CRITICAL|FATAL)(?=$|[\s\])|:>,-])/,
  // [warn] …, warning: …
  /^\s*(?:\[(\w+)\]|(\w+):)/,
  // train.py:12: UserWarning: …
  /\b\w*(Warning):/,
]
const exception = /^(?:Traceback \(most recent call last\)|Uncaught |(?:\w+\.)*\w*(?:Error|Exception|KeyboardInterrupt)(?::|$))/

/** The level that a line says it has; null where it says none. */
export function levelOf(text: string): Level | null {
  const head = text.slice(0, 200)
  if (exception.test(head)) return 'ERROR'
  for (const pattern of patterns) {
    const match = pattern.exec(head)
    const level = levels[(match?.[1] ?? match?.[2] ?? '').toLowerCase()]
    if (level) return level
  }
  return null
}

/** Reads the levels of one stream's lines in turn: INFO where a line says nothing, ERROR for a whole Python traceback. */
export function levelReader(): (text: string) => Level {
  let inTraceback = false
  return (text) => {
    const wasInTraceback = inTraceback
    inTraceback = text.startsWith('Traceback (most recent call last)') || (inTraceback && /^(\s|$)/.test(text))
    return (inTraceback ? 'ERROR' : levelOf(text)) ?? (wasInTraceback ? 'ERROR' : 'INFO')
  }
}
