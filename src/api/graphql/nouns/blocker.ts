import { blockerKinds } from '../../../contract/statuses.js'
import type { Blocker__Output } from '../../../generated/proto/scaimind/v1/Blocker.js'
import { builder } from '../builder.js'
import { BlockerKindEnum, known } from '../enums.js'
import { finite, orNull, timeOf } from '../scalars.js'

/** One thing that a job lacks. */
export const BlockerRef = builder.objectRef<Blocker__Output>('Blocker').implement({
  description: 'Why a job waits: one thing that it lacks. All of them must pass before it starts.',
  fields: (t) => ({
    kind: t.field({
      type: BlockerKindEnum,
      nullable: true,
      description: 'What it lacks; null for a kind that this API does not know yet.',
      resolve: (b) => known(blockerKinds, b.kind),
    }),
    need: t.float({
      nullable: true,
      description: 'How many the job needs; bytes for MEMORY. Null where nothing is counted.',
      resolve: (b) => finite(b.need),
    }),
    have: t.float({
      nullable: true,
      description: 'How many it could have now, in the same unit; null where nothing is counted.',
      resolve: (b) => finite(b.have),
    }),
    of: t.string({
      nullable: true,
      description: 'What is counted: a GPU type, a node id, a limit (`gpus`); null where the kind says it.',
      resolve: (b) => orNull(b.of),
    }),
    until: t.field({
      type: 'DateTime',
      nullable: true,
      description: 'When it is expected to pass; null where unknown.',
      resolve: (b) => timeOf(b.until),
    }),
    jobs: t.idList({
      description: 'Ids of the tenant’s jobs that it waits for; of what is held, those that hold it. At most 100.',
      resolve: (b) => b.jobs,
    }),
  }),
})
