import type { Lineage, LineageNode } from '../../operations/lineage-graph.js'
import { builder } from '../builder.js'
import { LineageKindEnum } from '../enums.js'
import { JobRef } from './job.js'

const LineageNodeRef = builder.objectRef<LineageNode>('LineageNode').implement({
  description: 'One thing in a lineage.',
  fields: (t) => ({
    id: t.exposeID('id', {
      description:
        'Of a job, checkpoint, evaluation or uploaded data set its own id; of anything else one that it has in every lineage that it is in, such as the hash of its content.',
    }),
    kind: t.field({ type: LineageKindEnum, description: 'What it is.', resolve: ({ kind }) => kind }),
    label: t.exposeString('label', { description: 'For people: a name, a path, a step.' }),
    contentHash: t.exposeString('contentHash', { nullable: true, description: '`sha256:…`; null where it has none or it is not known.' }),
    at: t.field({ type: 'DateTime', nullable: true, description: 'When it came to be; null where unknown.', resolve: ({ at }) => at }),
  }),
})

const LineageEdgeRef = builder.objectRef<Lineage['edges'][number]>('LineageEdge').implement({
  description: 'One step of a lineage: the second was made of the first, or went on from it.',
  fields: (t) => ({
    from: t.exposeID('from', { description: 'The `id` of what was there first.' }),
    to: t.exposeID('to', { description: 'The `id` of what was made of it.' }),
  }),
})

const LineageRef = builder.objectRef<Lineage>('Lineage').implement({
  description: 'Where a job comes from and what came of it: data and base model → job → attempt → checkpoint → artefact → evaluation.',
  fields: (t) => ({
    nodes: t.field({
      type: [LineageNodeRef],
      complexity: { field: 1, multiplier: 10 },
      description: 'Everything that the edges name, each once. Of checkpoints and evaluations the newest 100.',
      resolve: ({ nodes }) => nodes,
    }),
    edges: t.field({
      type: [LineageEdgeRef],
      complexity: { field: 1, multiplier: 10 },
      description: 'How one came of the other.',
      resolve: ({ edges }) => edges,
    }),
  }),
})

builder.objectField(JobRef, 'lineage', (t) =>
  t.field({
    type: LineageRef,
    nullable: true,
    complexity: 10,
    description:
      'Where it comes from and what came of it, also the checkpoint and the job that it was resumed from. Checkpoints are asked of the coordinator, once for all jobs of a page: null with an error where it is away.',
    resolve: (view, _args, { loaders }) => loaders.lineage.load(view),
  }),
)
