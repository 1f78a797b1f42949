import { execFileSync } from 'node:child_process'
import { expect, it } from 'vitest'
import { trainingTypes } from '../../src/contract/statuses.js'
import { toJobFile } from '../../src/coordinator/jobs/content/job-file.js'
import { hfProblems } from '../../src/coordinator/jobs/fields/hf-problems.js'
import { fields } from '../../src/coordinator/jobs/fields/table.js'
import type { Spec } from '../../src/coordinator/jobs/records/spec.js'
import { pathIn, situations, soundSpec, specOfCell, toldDefaults } from '../support/submission-fields.js'
import { hfPython, hfTrainer } from '../support/tiny-llama.js'

const files = { data: '/data/train.jsonl', script: '/data/train.py', reward: '/data/reward.py', megatron: '/data/megatron' }
const about = { job_id: 'job_1', tenant_id: 't', attempt: 1, token: '', resume_from: null }

/** Runs a few lines of Python beside the trainer's package, with JSON for standard input; answers the JSON that it prints. */
function python<Answer>(lines: string, input: unknown): Answer {
  const begin = 'import json, sys; sys.path.insert(0, sys.argv[1]); given = json.load(sys.stdin)'
  const options = { input: JSON.stringify(input), encoding: 'utf8', maxBuffer: 2 ** 26 } as const
  return JSON.parse(execFileSync(hfPython, ['-c', `${begin}\n${lines}`, hfTrainer], options)) as Answer
}

/** What the trainer itself finds wrong with each job, before it loads anything. */
function problemsOfTrainer(specs: Spec[]): [path: string, message: string][][] {
  const lines = `
from scaimind_trainer.settings import check_job
print(json.dumps([[list(problem) for problem in check_job(job)[1]] for job in given]))`
  return python(
    lines,
    specs.map((spec) => toJobFile(spec, about)),
  )
}

it('what the coordinator lets through, the trainer does not refuse', () => {
  const cells = situations
    .filter(({ trainer }) => trainer === 'hf')
    .flatMap((situation) => [
      { path: 'nothing besides', spec: soundSpec(situation, files) },
      ...fields.map((field) => ({ path: pathIn(field.path), spec: specOfCell({ situation, field }, files) })),
    ])
  const answers = problemsOfTrainer(cells.map(({ spec }) => spec))
  const disagreements = cells.flatMap(({ path, spec }, index) => {
    const refused = answers[index] ?? []
    if (hfProblems(spec).length > 0) return []
    return refused.map(([at, message]) => `${spec.name} with ${path} is let through, but refused at ${at}: ${message}`)
  })
  expect(disagreements).toEqual([])
})

it('a hyperparameter acts for the same training types in the table and in the trainer', () => {
  const lines = `
from scaimind_trainer.hyperparameters import RULES
print(json.dumps({name: sorted(rule.types) for name, rule in RULES.items()}))`
  const prefix = 'training_config.hyperparameters.'
  const table = fields.flatMap(({ path, cells: { hf } }) =>
    path.startsWith(prefix) && 'acts' in hf ? [[path.slice(prefix.length), [...(hf.types ?? trainingTypes)].sort()]] : [],
  )
  expect(Object.fromEntries(table)).toEqual(python(lines, null))
})

it('a hyperparameter has the same default in the table and in the trainer', () => {
  const lines = `
from scaimind_trainer.hyperparameters import read_hyperparameters
answers = {}
for kind, defaults in given.items():
    own, _ = read_hyperparameters({}, kind)
    told, _ = read_hyperparameters(defaults, kind)
    answers[kind] = [[name for name in own if own[name] is not None and name not in defaults], [name for name in own if told[name] != own[name]]]
print(json.dumps(answers))`
  const given = Object.fromEntries(trainingTypes.map((type) => [type, toldDefaults('hf', type)]))
  const nothingUntoldOrElse = [[], []]
  expect(python(lines, given)).toEqual(Object.fromEntries(trainingTypes.map((type) => [type, nothingUntoldOrElse])))
})
