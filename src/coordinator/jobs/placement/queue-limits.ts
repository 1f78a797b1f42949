import type { FieldProblem } from '../../../contract/failure.js'
import type { EngineQueue } from '../../engines/engine.js'
import type { Spec } from '../records/spec.js'

/** What a submission asks of a queue that the engine does not have, or that its queue does not allow. `default` is the engine's default queue, unless one is called so. Pure. */
export function queueProblems({ scheduling_config }: Pick<Spec, 'scheduling_config'>, queues: EngineQueue[]): FieldProblem[] {
  const { queue: name, max_runtime_seconds: limit } = scheduling_config
  const queue = queues.find((each) => each.name === name) ?? (name === 'default' ? queues.find(({ isDefault }) => isDefault) : undefined)
  if (!queue) {
    const names = queues.map((each) => each.name).join(', ')
    const message =
      name === 'default' ? `The cluster has no default queue; name one of ${names}.` : `The cluster has no queue ${name}; it has ${names}.`
    return [{ path: 'scheduling_config.queue', message }]
  }
  const { runSecondsMax } = queue
  if (runSecondsMax === null || Number(limit) <= runSecondsMax) return []
  const message = `Jobs in queue ${queue.name} run at most ${runSecondsMax} s, not ${limit}.`
  return [{ path: 'scheduling_config.max_runtime_seconds', message }]
}
