import type { FieldProblem } from '../../../contract/failure.js'
import type { Hub, HubRepository } from '../../data/hub.js'
import { chooseTrainer } from '../../data/trainer.js'
import { trainerChoiceOf } from '../content/job-file.js'
import { isFileSource, isLocalModel } from '../content/resolve.js'
import type { JobSettings } from '../records/settings.js'
import type { Spec } from '../records/spec.js'

/** What a submission, with its paths followed, names of a hub that says it has no such thing, by field. What the hub does not tell, the job finds out. */
export async function hubProblems(
  spec: Spec,
  { hub, settings }: { hub: Hub; settings: Pick<JobSettings, 'trainer'> },
): Promise<FieldProblem[]> {
  if (hub.endpoint === '' || (await chooseTrainer(trainerChoiceOf(spec), settings.trainer)).kind !== 'hf') return []
  const { environment } = spec.training_config
  const told = await Promise.all(
    namedOf(spec).map(async ({ path, repository }) => {
      if (!(await hub.isMissing(repository, environment))) return []
      const { kind, id, revision } = repository
      const what = `${kind === 'models' ? 'model' : 'data set'} ${id}${revision === '' ? '' : ` at ${revision}`}`
      const folder = kind === 'models' ? ' A folder is given with ./ or / before it.' : ''
      const message = `${hub.endpoint} has no ${what}, or none without a token that may read it: check the name, or give HF_TOKEN in the environment.${folder}`
      return [{ path, message }]
    }),
  )
  return told.flat()
}

function namedOf({ training_config: training, data_config: data }: Spec): { path: string; repository: HubRepository }[] {
  const { model_id: id, tokenizer_id: tokenizer, revision } = training.base_model
  const models = [
    { path: 'training_config.base_model.model_id', id, revision },
    { path: 'training_config.base_model.tokenizer_id', id: tokenizer === id ? '' : tokenizer, revision: '' },
    { path: 'training_config.hyperparameters.reward_model', id: training.hyperparameters.reward_model ?? '', revision: '' },
    { path: 'data_config.preprocess.tokenizer', id: data.preprocess?.tokenizer ?? '', revision: '' },
  ]
  const sources = data.sources.flatMap((source, index) =>
    isFileSource(source) ? [] : [{ path: `data_config.sources[${index}].path`, id: source.path.split(':')[0] ?? '', revision: '' }],
  )
  return [
    ...models.filter((model) => model.id !== '' && !isLocalModel(model.id)).map(toNamed('models')),
    ...sources.map(toNamed('datasets')),
  ]
}

const toNamed =
  (kind: HubRepository['kind']) =>
  ({ path, id, revision }: { path: string; id: string; revision: string }) => ({ path, repository: { kind, id, revision } })
