import { shareOf } from '../records/needs.js'
import type { Waiting } from './place.js'

/** A job is charged as if it ran so long, when it is given its place and while it runs: places that were just given count at once. */
export const chargedAheadSeconds = 3600

/** What a tenant is entitled to, and has had. */
export interface Standing {
  /** Its share relative to others'. */
  weight: number
  /** GPU seconds that it had, older ones counting less, with what it holds charged ahead. */
  usage: number
}

interface Line<Job> {
  tenantId: string
  jobs: Job[]
  next: number
  standing: Standing
  key: number
}

/** Jobs one by one in fair order; see `fairOrder`. */
export interface FairOrder<Job> {
  /** The next job; undefined where all have had their turn. */
  next(): Job | undefined
  /** Counts what the tenant would hold if the job that just had its turn started. */
  charge(job: Job): void
}

/**
 * The order of the queue. A tenant's own jobs go by priority, then age. Of the tenants' first ones that goes first whose tenant had least for its weight, where each
 * level of priority halves what counts: urgent work passes other tenants' at the cost of its tenant's share, and a thousand jobs of one tenant wait for another's
 * one, whatever they call themselves. Takes n log n for n jobs. `standingOf` is asked once a tenant.
 */
export function fairOrder<Job extends Pick<Waiting, 'jobId' | 'tenantId' | 'priority' | 'queuedAt' | 'needs'>>(
  queue: readonly Job[],
  standingOf: (tenantId: string) => Standing,
): FairOrder<Job> {
  const lines = new Map<string, Line<Job>>()
  for (const job of inOrder(queue)) {
    const line = lines.get(job.tenantId)
    if (line) line.jobs.push(job)
    else lines.set(job.tenantId, { tenantId: job.tenantId, jobs: [job], next: 0, standing: { ...standingOf(job.tenantId) }, key: 0 })
  }
  const heap: Line<Job>[] = []
  for (const line of lines.values()) push(heap, keyed(line))
  let current: Line<Job> | undefined

  return {
    next() {
      if (current && current.next < current.jobs.length) push(heap, keyed(current))
      current = pop(heap)
      return current?.jobs[current.next++]
    },
    charge({ needs }) {
      if (current) current.standing.usage += shareOf(needs) * chargedAheadSeconds
    },
  }
}

/** A tenant's own order: higher priority first, then the longer wait, then the id. */
export function inOrder<Job extends Pick<Waiting, 'jobId' | 'priority' | 'queuedAt'>>(queue: readonly Job[]): Job[] {
  return [...queue].sort(byPriorityThenAge)
}

function byPriorityThenAge(
  a: Pick<Waiting, 'jobId' | 'priority' | 'queuedAt'>,
  b: Pick<Waiting, 'jobId' | 'priority' | 'queuedAt'>,
): number {
  return b.priority - a.priority || a.queuedAt.getTime() - b.queuedAt.getTime() || (a.jobId < b.jobId ? -1 : a.jobId > b.jobId ? 1 : 0)
}

/** With one GPU hour on top, so that priority counts among tenants that had nothing yet, too. */
function keyed<Job extends Pick<Waiting, 'priority'>>(line: Line<Job>): Line<Job> {
  const { usage, weight } = line.standing
  line.key = (usage / weight + chargedAheadSeconds) / 2 ** (line.jobs[line.next]?.priority ?? 0)
  return line
}

type Comparable = Pick<Waiting, 'jobId' | 'priority' | 'queuedAt'>

function isBefore<Job extends Comparable>(a: Line<Job>, b: Line<Job>): boolean {
  const [first, second] = [a.jobs[a.next], b.jobs[b.next]]
  if (!first || !second || a.key !== b.key) return a.key < b.key
  return byPriorityThenAge(first, second) < 0
}

function push<Job extends Comparable>(heap: Line<Job>[], line: Line<Job>): void {
  heap.push(line)
  for (let at = heap.length - 1; at > 0; ) {
    const parent = (at - 1) >> 1
    if (!swapIfBefore(heap, at, parent)) return
    at = parent
  }
}

function pop<Job extends Comparable>(heap: Line<Job>[]): Line<Job> | undefined {
  const first = heap[0]
  const last = heap.pop()
  if (!first || !last || first === last) return first
  heap[0] = last
  for (let at = 0; ; ) {
    const [left, right] = [2 * at + 1, 2 * at + 2]
    const [a, b] = [heap[left], heap[right]]
    const child = a && b && isBefore(b, a) ? right : left
    if (!swapIfBefore(heap, child, at)) return first
    at = child
  }
}

function swapIfBefore<Job extends Comparable>(heap: Line<Job>[], child: number, parent: number): boolean {
  const [a, b] = [heap[child], heap[parent]]
  if (!a || !b || !isBefore(a, b)) return false
  heap[child] = b
  heap[parent] = a
  return true
}
