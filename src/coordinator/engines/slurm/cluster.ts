import type { SlurmCommands } from './commands.js'
import { parseJobs, parseNodes, parsePartitions, type SlurmJob, type SlurmNode, type SlurmPartition } from './parse.js'

/** How old an answer may be that several askers share. */
const freshMs = 1000
const partitionsFreshMs = 60_000

/** What Slurm says of its jobs, nodes and partitions: one command for all of them, however many ask. */
export interface SlurmView {
  /** All jobs that Slurm knows, those that ended lately too; at most a second old, or with `now` asked anew. */
  jobs(now?: 'now'): Promise<SlurmJob[]>
  nodes(now?: 'now'): Promise<SlurmNode[]>
  /** The partitions, the default one first; at most a minute old. */
  partitions(): Promise<SlurmPartition[]>
}

/** Looks at the cluster through its commands. */
export function slurmView(commands: SlurmCommands): SlurmView {
  /** `sinfo --json` tells of nodes in 22.05 only; later versions have them where `scontrol` shows them. */
  let nodesBySinfo = true
  async function askNodes(): Promise<SlurmNode[]> {
    if (nodesBySinfo) {
      const { stdout } = await commands.run('sinfo', '--json')
      if (/^ {2}"nodes"/m.test(stdout)) return parseNodes('sinfo', stdout)
      nodesBySinfo = false
    }
    return parseNodes('scontrol show nodes', (await commands.run('scontrol', 'show', 'nodes', '--json')).stdout)
  }
  return {
    jobs: shared(async () => parseJobs((await commands.run('squeue', '--json', '--all', '--states=all')).stdout), freshMs),
    nodes: shared(askNodes, freshMs),
    partitions: shared(
      async () => parsePartitions((await commands.run('scontrol', 'show', 'partition', '--all', '--oneliner')).stdout),
      partitionsFreshMs,
    ),
  }
}

/** An answer that is kept for a while, and asked for one at a time, once for all who wait. Failures are not kept. */
function shared<Value>(ask: () => Promise<Value>, ms: number): (now?: 'now') => Promise<Value> {
  let answer: Promise<Value> | undefined
  let askedAt = 0
  let underWay: Promise<unknown> | undefined
  let next: Promise<Value> | undefined

  function begin(): Promise<Value> {
    next = undefined
    askedAt = performance.now()
    const asked = ask()
    answer = asked
    const ended = asked.then(
      () => {},
      () => {
        if (answer === asked) answer = undefined
      },
    )
    underWay = ended.then(() => {
      underWay = undefined
    })
    return asked
  }
  return (now) => {
    if (answer && now === undefined && (underWay || performance.now() - askedAt < ms)) return answer
    // What is under way may have looked before whatever the asker wants to see.
    if (underWay) next ??= underWay.then(begin)
    return next ?? begin()
  }
}
