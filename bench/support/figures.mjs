import { readFileSync } from 'node:fs'

/** The middle of some figures. */
export function median(figures) {
  const sorted = [...figures].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
}

/** How far figures of the same thing lie apart, as a part of their middle. */
export const spread = (figures) => (Math.max(...figures) - Math.min(...figures)) / median(figures)

/** What so many of a hundred figures do not exceed. */
export function percentile(figures, percent) {
  const sorted = [...figures].sort((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor((sorted.length * percent) / 100))] ?? Number.NaN
}

export const rounded = (figure, digits = 2) => Number(figure.toFixed(digits))

/** Milliseconds of processor time that a process has used, where the system tells. */
export function cpuMs(pid) {
  try {
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1].split(' ')
    return (Number(fields[11]) + Number(fields[12])) * 10
  } catch {
    return Number.NaN
  }
}

/** The most megabytes of memory that a process had so far, where the system tells. */
export function peakMemoryMb(pid) {
  try {
    return Number(/^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1024
  } catch {
    return Number.NaN
  }
}

/** A setting of a benchmark, from the environment. */
export const setting = (name, otherwise) => Number(process.env[name] || otherwise)
