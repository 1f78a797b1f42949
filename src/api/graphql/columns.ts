import {
  type FieldNode,
  type FragmentDefinitionNode,
  type GraphQLObjectType,
  type GraphQLResolveInfo,
  getNamedType,
  isObjectType,
  Kind,
  type SelectionSetNode,
} from 'graphql'
import type { JobColumn } from '../operations/job-types.js'

/** Says of a field of Job which columns of the cache it is made of. A field that does not say so gets the whole document. */
export const ofColumns = (...columns: JobColumn[]) => ({ columns })

const known = new WeakMap<FieldNode, readonly JobColumn[] | null>()

/** The columns that a field's selection of jobs needs, fragments and what may be skipped included; null where it needs their documents. */
export function selectedColumns({ fieldNodes, fragments, returnType }: GraphQLResolveInfo): readonly JobColumn[] | null {
  const [only] = fieldNodes
  const type = getNamedType(returnType)
  // The same field asked for twice is rare; it gets documents.
  if (!only?.selectionSet || fieldNodes.length > 1 || !isObjectType(type)) return null
  const cached = known.get(only)
  if (cached !== undefined) return cached
  const found = new Set<JobColumn>()
  const columns = collect(type, only.selectionSet, fragments, found) ? [...found] : null
  known.set(only, columns)
  return columns
}

/** Adds what a selection needs; false where that is the document. Of other types than Job only what leads to a job counts. */
function collect(
  type: GraphQLObjectType,
  { selections }: SelectionSetNode,
  fragments: Record<string, FragmentDefinitionNode>,
  found: Set<JobColumn>,
): boolean {
  return selections.every((node) => {
    // Fragments on the interfaces of a type select its own fields.
    if (node.kind === Kind.INLINE_FRAGMENT) return collect(type, node.selectionSet, fragments, found)
    if (node.kind === Kind.FRAGMENT_SPREAD) {
      const fragment = fragments[node.name.value]
      return fragment !== undefined && collect(type, fragment.selectionSet, fragments, found)
    }
    const field = type.getFields()[node.name.value]
    if (!field) return node.name.value === '__typename'
    if (type.name === 'Job') {
      const columns = field.extensions.columns as readonly JobColumn[] | undefined
      for (const column of columns ?? []) found.add(column)
      return columns !== undefined
    }
    const inner = getNamedType(field.type)
    return !node.selectionSet || !isObjectType(inner) || collect(inner, node.selectionSet, fragments, found)
  })
}
