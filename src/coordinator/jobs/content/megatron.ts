import { existsSync } from 'node:fs'
import { join } from 'node:path'
import type { FieldProblem } from '../../../contract/failure.js'
import type { HfSettings } from '../../data/hf-trainer.js'
import type { Spec } from '../records/spec.js'

/** What is wrong with the checkout of Megatron-LM that a MEGATRON job would run: the job's own, whose path has been followed, else the operator's. */
export function megatronProblems(
  { training_config: { framework } }: Spec,
  hf: Pick<HfSettings, 'megatronPath'> | undefined,
): FieldProblem[] {
  if (framework.type !== 'MEGATRON') return []
  const path = 'training_config.framework.config.megatron_path'
  const given = framework.config.megatron_path
  const checkout = given ?? hf?.megatronPath ?? null
  if (checkout === null) {
    const message =
      'MEGATRON runs a checkout of Megatron-LM: name its folder under the data roots here, or the operator sets SCAIMIND_MEGATRON_PATH.'
    return [{ path, message }]
  }
  if (existsSync(join(checkout, 'pretrain_gpt.py'))) return []
  const whose = given === undefined ? 'The folder that SCAIMIND_MEGATRON_PATH names' : JSON.stringify(given)
  return [{ path, message: `${whose} is no checkout of Megatron-LM: it has no pretrain_gpt.py.` }]
}

/** What tells the trainer where the operator's checkout is; the job's own is in its configuration. */
export function megatronEnvironment(
  { training_config: { framework } }: Spec,
  hf: Pick<HfSettings, 'megatronPath'> | undefined,
): Record<string, string> {
  const isTheirs = framework.type === 'MEGATRON' && framework.config.megatron_path === undefined
  return isTheirs && hf?.megatronPath ? { SCAIMIND_MEGATRON_PATH: hf.megatronPath } : {}
}
