import {
  type ASTVisitor,
  type DocumentNode,
  GraphQLError,
  Kind,
  NoSchemaIntrospectionCustomRule,
  type SelectionSetNode,
  type ValidationContext,
} from 'graphql'
import type { Limits } from './context.js'

/** Rules that refuse operations that are too deep, have too many aliases, or ask for a schema that is not told, before anything runs. Introspection counts for neither. */
export function limitRules({ depth, aliases, introspection }: Pick<Limits, 'depth' | 'aliases' | 'introspection'>) {
  return [
    ...(introspection ? [] : [NoSchemaIntrospectionCustomRule]),
    (context: ValidationContext): ASTVisitor => ({
      Document(document) {
        const measured = measure(document, depth + 1)
        if (measured.depth > depth) context.reportError(new GraphQLError(`The operation is nested deeper than ${depth} levels.`))
        if (measured.aliases > aliases) context.reportError(new GraphQLError(`The operation has more than ${aliases} aliases.`))
      },
    }),
  ]
}

/** Depth and aliases of a document, fragments spread out. Stops at `depthMax`, which fragments that spread themselves would never reach an end of. */
export function measure(document: DocumentNode, depthMax: number): { depth: number; aliases: number } {
  const fragments = new Map(
    document.definitions.flatMap((node) => (node.kind === Kind.FRAGMENT_DEFINITION ? [[node.name.value, node.selectionSet] as const] : [])),
  )
  const depths = new Map<SelectionSetNode, number>()
  let aliases = 0

  function depthOf(selections: SelectionSetNode, level: number, within: readonly string[]): number {
    if (level > depthMax) return 0
    const known = depths.get(selections)
    if (known !== undefined) return known
    let deepest = 0
    for (const node of selections.selections) {
      if (node.kind === Kind.FIELD) {
        if (node.alias) aliases++
        if (node.name.value.startsWith('__')) continue
        deepest = Math.max(deepest, 1 + (node.selectionSet ? depthOf(node.selectionSet, level + 1, within) : 0))
      } else if (node.kind === Kind.INLINE_FRAGMENT) {
        deepest = Math.max(deepest, depthOf(node.selectionSet, level, within))
      } else {
        const name = node.name.value
        const fragment = fragments.get(name)
        if (fragment && !within.includes(name)) deepest = Math.max(deepest, depthOf(fragment, level, [...within, name]))
      }
    }
    depths.set(selections, deepest)
    return deepest
  }

  const depth = Math.max(
    0,
    ...document.definitions.map((node) => (node.kind === Kind.OPERATION_DEFINITION ? depthOf(node.selectionSet, 0, []) : 0)),
  )
  return { depth, aliases }
}
