import { readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { type EvaluationOrder, runBenchmarks } from './benchmarks/run.js'
import { checkJob, checkModel } from './check.js'
import { FENCED, openFence } from './fence.js'
import { type InspectedSource, inspectSource } from './inspect.js'
import { type Journal, openJournal } from './journal.js'
import { readModel } from './model/folder.js'
import { TrainerFailure } from './problems.js'
import { listenForRequests, STOPPED, Stopped } from './signals.js'
import { validateJob } from './validate.js'

const USAGE = `The embedded trainer.

  SCAIMIND_JOB_DIR=DIR node main.js          run the attempt that DIR/job.json describes
  node main.js --validate < job.json         print {"problems": [...], "data": [...]}
  node main.js --inspect < sources.json      print what data sources hold, and every line that cannot be used
  node main.js --generate DIR --prompt TEXT  continue a text with a model or an adapter
      [--base DIR] [--max-tokens 160] [--temperature 0.7] [--seed 42]
`

const { values: options } = parseArgs({
  options: {
    validate: { type: 'boolean' },
    inspect: { type: 'boolean' },
    generate: { type: 'string' },
    base: { type: 'string' },
    prompt: { type: 'string', default: '' },
    'max-tokens': { type: 'string', default: '160' },
    temperature: { type: 'string', default: '0.7' },
    seed: { type: 'string', default: '42' },
    help: { type: 'boolean' },
  },
})

if (options.help) process.stdout.write(USAGE)
else if (options.validate) validate()
else if (options.inspect) inspect()
else if (options.generate !== undefined) await generate(options.generate)
else if (process.env.SCAIMIND_JOB_DIR) process.exitCode = await runAttempt(process.env.SCAIMIND_JOB_DIR)
else {
  process.stderr.write(USAGE)
  process.exitCode = 2
}

function validate(): void {
  let job: unknown
  try {
    job = JSON.parse(readFileSync(0, 'utf8'))
  } catch (error) {
    process.stdout.write(`${JSON.stringify({ problems: [{ path: '', message: `Not JSON: ${(error as Error).message}` }], data: [] })}\n`)
    return
  }
  process.stdout.write(`${JSON.stringify(checkJob(job))}\n`)
}

function inspect(): void {
  const { sources } = JSON.parse(readFileSync(0, 'utf8')) as { sources: InspectedSource[] }
  process.stdout.write(`${JSON.stringify({ sources: sources.map(inspectSource) })}\n`)
}

async function generate(folder: string): Promise<void> {
  const { loadForGeneration } = await import('./model/load.js')
  const { generateText } = await import('./model/decode.js')
  try {
    const text = generateText(loadForGeneration(folder, options.base), options.prompt === '' ? '' : `${options.prompt}\n`, {
      maxTokens: Number(options['max-tokens']),
      temperature: Number(options.temperature),
      seed: Number(options.seed),
    })
    process.stdout.write(`${text}\n`)
  } catch (error) {
    process.stderr.write(`${(error as Error).message}\n`)
    process.exitCode = 1
  }
}

/** Runs an attempt; answers the exit code: 0 done, 85 stopped on request, 1 failed. Where a newer attempt of the job has begun the process ends at once, with 86. */
async function runAttempt(directory: string): Promise<number> {
  const requests = listenForRequests(directory, () => process.exit(STOPPED))
  const fence = openFence(resolve(directory), () => process.exit(FENCED))
  const journal = openJournal(directory, fence)
  try {
    journal.event({ type: 'ready', signals: ['USR1', 'TERM'], pid: process.pid })
    journal.event({ type: 'phase', phase: 'PREPARING' })
    const job = readJob(directory)
    const order = (job as { evaluation?: EvaluationOrder } | null)?.evaluation
    if (order) {
      await runBenchmarks({ order, journal, requests })
      return 0
    }
    const { plan, problems } = validateJob(job)
    if (plan.model.folder !== '') problems.push(...checkModel(plan.model.folder, plan.data.maxSeqLength))
    for (const { path, message } of problems.slice(1)) process.stderr.write(`error: ${path}: ${message}\n`)
    const [problem] = problems
    if (problem)
      throw new TrainerFailure(problem.path.startsWith('data_config') ? 'DATA' : 'UNKNOWN', problem.message, { field: problem.path })
    const model = readModel(plan.model.folder)
    // Loaded only now, so that the handlers above are in place while the backend starts.
    const { train } = await import('./train.js')
    await train({ directory, plan, model, journal, fence, requests })
    return 0
  } catch (error) {
    if (error instanceof Stopped) return STOPPED
    fail(journal, error)
    return 1
  }
}

function readJob(directory: string): unknown {
  try {
    return JSON.parse(readFileSync(join(directory, 'job.json'), 'utf8'))
  } catch (error) {
    throw new TrainerFailure('UNKNOWN', `${join(directory, 'job.json')} cannot be read: ${(error as Error).message}`)
  }
}

/** One clear line for what was expected; the stack only for what was not. */
function fail(journal: Journal, error: unknown): void {
  const failure = error instanceof TrainerFailure ? error : unexpected(error)
  const { field, hint } = failure.details
  process.stderr.write(`error: ${field ? `${field}: ` : ''}${failure.message}${hint ? ` ${hint}` : ''}\n`)
  if (failure !== error && failure.class === 'UNKNOWN' && !isSystemError(error))
    process.stderr.write(`${error instanceof Error ? error.stack : String(error)}\n`)
  try {
    journal.event({ type: 'failure', class: failure.class, message: failure.message, ...failure.details })
  } catch (cause) {
    // A full disk or a missing folder is often the failure itself; standard error has it already.
    process.stderr.write(`error: the failure cannot be recorded: ${(cause as Error).message}\n`)
  }
}

/** A disk that is full, a folder that may not be written: the message says it all. */
function isSystemError(error: unknown): boolean {
  return error instanceof Error && typeof (error as NodeJS.ErrnoException).syscall === 'string'
}

function unexpected(error: unknown): TrainerFailure {
  const message = error instanceof Error ? error.message : String(error)
  if (/out of memory|memory\.grow|allocation failed|Maximum memory/i.test(message)) {
    return new TrainerFailure(
      'OUT_OF_MEMORY',
      `Out of memory: ${message}`,
      { hint: 'Lower data_config.batch_size or max_seq_length.' },
      { cause: error },
    )
  }
  return new TrainerFailure('UNKNOWN', message, {}, { cause: error })
}
