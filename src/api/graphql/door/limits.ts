import {
  type ASTVisitor,
  type DocumentNode,
  GraphQLError,
  Kind,
  NoSchemaIntrospectionCustomRule,
  type SelectionNode,
  type SelectionSetNode,
  type ValidationContext,
} from 'graphql'
import type { Limits } from '../context.js'

/** Rules that refuse operations that are too deep, have too many aliases, or ask for a schema that is not told, before anything runs. Introspection adds no depth. */
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
export function measure(document: DocumentNode, depthMax: number): Measured {
  const fragments = new Map(
    document.definitions.flatMap((node) => (node.kind === Kind.FRAGMENT_DEFINITION ? [[node.name.value, node.selectionSet] as const] : [])),
  )
  const known = new Map<SelectionSetNode, Measured>()

  function within(selections: SelectionSetNode | undefined, level: number, spread: readonly string[]): Measured {
    if (!selections || level > depthMax) return nothing
    const before = known.get(selections)
    if (before) return before
    const measured = sum(selections.selections.map((node) => one(node, level, spread)))
    known.set(selections, measured)
    return measured
  }

  function one(node: SelectionNode, level: number, spread: readonly string[]): Measured {
    if (node.kind === Kind.INLINE_FRAGMENT) return within(node.selectionSet, level, spread)
    if (node.kind === Kind.FRAGMENT_SPREAD) {
      const name = node.name.value
      return spread.includes(name) ? nothing : within(fragments.get(name), level, [...spread, name])
    }
    const { depth, aliases } = within(node.selectionSet, level + 1, spread)
    return { depth: node.name.value.startsWith('__') ? 0 : 1 + depth, aliases: (node.alias ? 1 : 0) + aliases }
  }

  return sum(document.definitions.map((node) => (node.kind === Kind.OPERATION_DEFINITION ? within(node.selectionSet, 0, []) : nothing)))
}

interface Measured {
  depth: number
  aliases: number
}

const nothing: Measured = { depth: 0, aliases: 0 }

/** What stands side by side: as deep as the deepest, and all aliases. */
const sum = (parts: readonly Measured[]): Measured =>
  parts.reduce((all, { depth, aliases }) => ({ depth: Math.max(all.depth, depth), aliases: all.aliases + aliases }), nothing)
