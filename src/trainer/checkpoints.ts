import { existsSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { type Fingerprint, saveCheckpoint } from './checkpoint.js'
import type { Fence } from './fence.js'
import type { Journal } from './journal.js'
import type { Model } from './model/folder.js'
import type { TrainingPlan } from './plan.js'
import type { Session } from './session.js'

/** Where a run is, as it is told and saved. */
export interface Position {
  step: number
  epoch: number
  tokensSeen: number
  metrics: Record<string, number>
}

/** The checkpoints of one attempt: saved at most once a step, the oldest deleted beyond the limit. */
export function checkpointKeeper(
  directory: string,
  {
    plan,
    model,
    session,
    journal,
    fence,
    fingerprint,
  }: { plan: TrainingPlan; model: Model; session: Session; journal: Journal; fence: Fence; fingerprint: Fingerprint },
) {
  const kept: number[] = []
  return {
    /** Saves where the run is; does nothing where that step is already saved. */
    save({ step, epoch, tokensSeen, metrics }: Position): void {
      if (kept.includes(step)) return
      journal.event({ type: 'phase', phase: 'CHECKPOINTING' })
      const id = `step-${step}`
      const path = `checkpoints/${id}`
      const state = { step, epoch, tokens_seen: tokensSeen, metrics, fingerprint }
      const bytes = saveCheckpoint(join(directory, path), { plan, model, fence }, { ...session.snapshot(), state })
      kept.push(step)
      journal.event({ type: 'checkpoint', checkpoint_id: id, step, path, bytes, metrics })
      journal.log(`saved checkpoint ${id} (${bytes} bytes)`)
      while (kept.length > plan.output.saveTotalLimit) deleteOldest()
      journal.event({ type: 'phase', phase: 'TRAINING' })
    },
  }

  function deleteOldest(): void {
    const step = kept.shift() as number
    const path = `checkpoints/step-${step}`
    // A newer attempt may be going on from it.
    fence.check()
    // The manifest goes first: a half-deleted checkpoint must not look complete.
    rmSync(join(directory, path, 'manifest.json'), { force: true })
    if (existsSync(join(directory, path))) rmSync(join(directory, path), { recursive: true })
    journal.event({ type: 'checkpoint_deleted', checkpoint_id: `step-${step}`, step, path })
  }
}
