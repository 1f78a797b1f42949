import { carriersOf, carries, groupOf, isGroupAlive, signalGroup } from './processes.js'

/** The processes of a trainer on this node. */
export interface TrainerProcesses {
  /** Whether a process is one of them. */
  has(pid: number): boolean
  /** Signals the group that the trainer leads; a starter passes on to its workers what they are to know. */
  signal(signal: NodeJS.Signals): void
  /** Kills all of them. */
  kill(): void
  isAlive(): boolean
}

/**
 * The group that the trainer leads, and of a starter all that carries `marks` in its environment, on Linux: torchrun gives each worker a session of its
 * own, and when it is killed they would run on. Without marks a process that left the group is not the trainer's any more.
 */
export function trainerProcesses(leader: number, marks: string[]): TrainerProcesses {
  const strays = () => (marks.length > 0 ? carriersOf(marks) : [])
  return {
    has: (pid) => groupOf(pid) === leader || (marks.length > 0 && carries(pid, marks)),
    signal: (signal) => signalGroup(leader, signal),
    kill() {
      signalGroup(leader, 'SIGKILL')
      for (const pid of strays()) {
        try {
          process.kill(pid, 'SIGKILL')
        } catch {
          // It ended by itself.
        }
      }
    },
    isAlive: () => isGroupAlive(leader) || strays().length > 0,
  }
}
