import { execFile } from 'node:child_process'
import { z } from 'zod'
import type { FieldProblem } from '../../contract/failure.js'
import { embeddedCommand, type Trainer, type TrainerSettings } from './trainer.js'

/** A source of data, as counted by the trainer. */
export interface CheckedSource {
  source: number
  records: number
  /** By its own tokenizer, or estimated from the text. */
  tokens: number
}

/** What a trainer says about a job that it has not started. */
export interface TrainerCheck {
  problems: FieldProblem[]
  data: CheckedSource[]
  /** Null where the trainer did not say. */
  totalSteps: number | null
}

/** The trainer did not answer in time: there is more data than can be read through while a caller waits. */
export class TrainerTooSlow extends Error {}

/** What a check that may be too slow answers instead: what more there is than can be read through while a caller waits, the job itself judges. Throws any other error. */
export function whereTooSlow(error: unknown): Pick<TrainerCheck, 'problems'> {
  if (error instanceof TrainerTooSlow) return { problems: [] }
  throw error
}

/** Asks the embedded trainer whether it would run a `job.json`: configuration, model and every line of the data. Starts no training. Throws TrainerTooSlow where it does not answer in time. */
export async function validateWithTrainer(job: unknown, settings: TrainerSettings): Promise<TrainerCheck> {
  return await answerOf([...embeddedCommand(settings), '--validate'], job, { TZ: 'UTC' }, settings)
}

/**
 * Asks the trainer for HuggingFace models about a `job.json`: every record of its files, and what its model's folder tells. Starts no training and asks no hub.
 * Null, with the reason told to `settings.hf.onUnchecked`, where it cannot be asked here. Throws TrainerTooSlow where it does not answer in time.
 */
export async function validateWithHfTrainer(
  job: unknown,
  { command, searchPath, wrapper = [], modules = [] }: Trainer,
  settings: TrainerSettings,
): Promise<TrainerCheck | null> {
  const unchecked = (reason: string) => {
    settings.hf?.onUnchecked?.(reason)
    return null
  }
  if (modules.length > 0) return unchecked('Its interpreter is had by environment modules, on the nodes only.')
  // Nothing of the coordinator's, and one thread for what is done in one.
  const environment = { TZ: 'UTC', LANG: 'C.UTF-8', PATH: searchPath.join(':'), HF_HUB_OFFLINE: '1', OMP_NUM_THREADS: '1' }
  try {
    return await answerOf([...wrapper, ...command, '--check'], job, environment, settings)
  } catch (error) {
    if (error instanceof TrainerTooSlow) throw error
    // The job itself tells then what is wrong with its data.
    return unchecked(error instanceof Error ? error.message : String(error))
  }
}

async function answerOf(
  [program = '', ...words]: string[],
  job: unknown,
  env: Record<string, string>,
  { checkTimeoutMs = 10_000 }: TrainerSettings,
): Promise<TrainerCheck> {
  const limits = { timeout: checkTimeoutMs, killSignal: 'SIGKILL', maxBuffer: 4 * 2 ** 20 } as const
  const answer = await new Promise<string>((done, failed) => {
    const child = execFile(program, words, { ...limits, env }, (error, stdout, stderr) => {
      if (!error) return done(stdout)
      if (error.killed) return failed(new TrainerTooSlow(`The trainer did not answer within ${checkTimeoutMs} ms.`))
      failed(new Error(`The trainer's check of the job failed: ${stderr.trim().slice(-500) || error.message}.`, { cause: error }))
    })
    // It may end before it has read all; its answer tells.
    child.stdin?.on('error', () => {})
    child.stdin?.end(JSON.stringify(job))
  })
  const { problems, data, total_steps: totalSteps = null } = parseAnswer(answer)
  return { problems, data, totalSteps }
}

const checkShape = z.object({
  problems: z.array(z.object({ path: z.string(), message: z.string() })),
  data: z.array(z.object({ source: z.number(), records: z.number(), tokens: z.number() })),
  total_steps: z.number().nullish(),
})

function parseAnswer(answer: string): z.infer<typeof checkShape> {
  try {
    return checkShape.parse(JSON.parse(answer))
  } catch (cause) {
    throw new Error(`The trainer's check of the job answered ${JSON.stringify(answer.slice(0, 200))}, which is no answer to it.`, { cause })
  }
}
