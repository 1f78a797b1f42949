import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { foreignCheckpoints, lineageGraph } from '../../../src/api/operations/lineage-graph.js'
import { scaimindV1 } from '../../../src/contract/proto.js'
import type { Checkpoint__Output } from '../../../src/generated/proto/scaimind/v1/Checkpoint.js'
import type { Job, Job__Output } from '../../../src/generated/proto/scaimind/v1/Job.js'

/** A job as it comes off the wire. */
function job(fields: Job): Job__Output {
  const definition = scaimindV1.CoordinatorService.service.GetJob
  return definition?.responseDeserialize(definition.responseSerialize(fields)) as Job__Output
}
const checkpoint = (id: string, jobId: string, attempt: number, step: string): Checkpoint__Output => ({
  checkpoint_id: id,
  job_id: jobId,
  attempt,
  step,
  path: '/c',
  bytes: '1',
  created_at: null,
  metrics: {},
})
const nothing = { checkpoints: [], evaluations: [], foreign: new Map(), parents: new Map() }
const drawn = ({ edges }: { edges: { from: string; to: string }[] }) => edges.map(({ from, to }) => `${from} → ${to}`)

describe('A lineage', () => {
  it('leads from data and base model over attempts and checkpoints to the artefact and its evaluations', () => {
    const graph = lineageGraph({
      ...nothing,
      job: job({
        job_id: 'j',
        name: 'job',
        content_hash: 'sha256:j',
        training_config: { base_model: { model_id: 'm', revision: 'r1' } },
        data_hashes: [
          { path: 'a.jsonl', content_hash: 'sha256:a' },
          { path: 'copy-of-a.jsonl', content_hash: 'sha256:a' },
          { path: 'up', content_hash: 'sha256:b', dataset_id: 'dset_1' },
        ],
        attempts: [{ number: 1 }, { number: 2, from_checkpoint: 'c1' }],
        output: { kind: 'adapter', content_hash: 'sha256:o' },
      }),
      checkpoints: [checkpoint('c2', 'j', 2, '20'), checkpoint('c1', 'j', 1, '10')],
      evaluations: [
        job({ job_id: 'e1', name: 'of the model', evaluation: { job_id: 'j' } }),
        job({ job_id: 'e2', evaluation: { job_id: 'j', checkpoint_id: 'c1' } }),
      ],
    })
    expect(drawn(graph)).toEqual([
      'sha256:a → j',
      'dset_1 → j',
      'model:m@r1 → j',
      'j → j/attempts/1',
      'j → j/attempts/2',
      'j/attempts/1 → c1',
      'j/attempts/2 → c2',
      'c1 → j/attempts/2',
      'c2 → j/output',
      'j/output → e1',
      'c1 → e2',
    ])
    expect(graph.nodes).toContainEqual({ id: 'j/output', kind: 'ARTEFACT', label: 'adapter', contentHash: 'sha256:o', at: null })
    expect(graph.nodes).toContainEqual({ id: 'c1', kind: 'CHECKPOINT', label: 'step 10', contentHash: null, at: null })
  })

  it('names data by path until they are hashed', () => {
    const graph = lineageGraph({ ...nothing, job: job({ job_id: 'j', data_config: { sources: [{ path: 'a.jsonl' }] } }) })
    expect(drawn(graph)).toEqual(['path:a.jsonl → j'])
  })

  it('begins with the job and the checkpoint that it was resumed from', () => {
    const child = job({ job_id: 'j', training_config: { resume_from_checkpoint: 'p1' }, attempts: [{ number: 1, from_checkpoint: 'p1' }] })
    expect(foreignCheckpoints(child, [])).toEqual(['p1'])
    const graph = lineageGraph({
      ...nothing,
      job: child,
      foreign: new Map([['p1', checkpoint('p1', 'parent', 1, '7')]]),
      parents: new Map([['parent', job({ job_id: 'parent', name: 'the parent' })]]),
    })
    expect(drawn(graph)).toEqual(['j → j/attempts/1', 'parent → p1', 'p1 → j/attempts/1'])
    expect(graph.nodes).toContainEqual({ id: 'parent', kind: 'JOB', label: 'the parent', contentHash: null, at: null })
  })

  it('keeps a checkpoint that is gone by its id', () => {
    const graph = lineageGraph({ ...nothing, job: job({ job_id: 'j', training_config: { resume_from_checkpoint: 'gone' } }) })
    expect(drawn(graph)).toEqual(['gone → j'])
    expect(graph.nodes).toContainEqual({ id: 'gone', kind: 'CHECKPOINT', label: 'gone', contentHash: null, at: null })
  })

  it('has a node for each end of each edge, once', () => {
    const ids = fc.constantFrom('c1', 'c2', 'c3', '')
    fc.assert(
      fc.property(
        fc.array(ids, { maxLength: 4 }),
        ids,
        fc.array(ids, { maxLength: 3 }),
        fc.boolean(),
        (starts, resumed, evaluated, hasOutput) => {
          const graph = lineageGraph({
            ...nothing,
            job: job({
              job_id: 'j',
              training_config: { resume_from_checkpoint: resumed },
              attempts: starts.map((from_checkpoint, i) => ({ number: i + 1, from_checkpoint })),
              output: hasOutput ? { kind: 'model' } : null,
            }),
            checkpoints: [checkpoint('c1', 'j', 1, '1')],
            evaluations: evaluated.map((checkpoint_id, i) => job({ job_id: `e${i}`, evaluation: { checkpoint_id } })),
          })
          const known = graph.nodes.map(({ id }) => id)
          expect(new Set(known).size).toBe(known.length)
          for (const { from, to } of graph.edges) expect(known).toEqual(expect.arrayContaining([from, to]))
        },
      ),
    )
  })
})
