import { execFile } from 'node:child_process'
import { z } from 'zod'
import { embeddedCommand, type TrainerSettings } from './trainer.js'

/** A source whose path is real. */
export interface SourceToInspect {
  path: string
  format: string
  field_mapping: Record<string, string>
  training_type: string
}

const shape = z.object({
  sources: z.array(
    z.object({
      readable: z.boolean(),
      records: z.number(),
      tokens: z.number(),
      sample: z.string(),
      problems: z.array(z.object({ line: z.number(), message: z.string() })),
    }),
  ),
})

/** What a source holds. */
export type Inspection = z.infer<typeof shape>['sources'][number]

/** Lets the embedded trainer read sources as for a job, in a process of its own. Throws where it does not answer within `timeoutMs` (default 60,000). */
export async function inspectSources(
  sources: SourceToInspect[],
  { timeoutMs = 60_000, ...settings }: TrainerSettings & { timeoutMs?: number },
): Promise<Inspection[]> {
  if (sources.length === 0) return []
  const [program = '', ...words] = embeddedCommand(settings)
  const limits = { timeout: timeoutMs, killSignal: 'SIGKILL', maxBuffer: 16 * 2 ** 20, env: { TZ: 'UTC' } } as const
  const answer = await new Promise<string>((done, failed) => {
    const child = execFile(program, [...words, '--inspect'], limits, (error, stdout, stderr) => {
      if (!error) return done(stdout)
      const reason = error.killed ? `did not answer within ${timeoutMs} ms` : `failed: ${stderr.trim().slice(-500) || error.message}`
      failed(new Error(`The trainer's look at the data ${reason}.`, { cause: error }))
    })
    // It may end before it has read all; its answer tells.
    child.stdin?.on('error', () => {})
    child.stdin?.end(JSON.stringify({ sources }))
  })
  return shape.parse(JSON.parse(answer)).sources
}
