import { type DocumentNode, type ExecutionArgs, getOperationAST, Kind, print, TypeInfo, visit, visitWithTypeInfo } from 'graphql'
import type { Viewer } from '../../auth/viewer.js'
import { schema } from '../schema.js'

// They say where a reader begins, not what they are shown.
const placeArguments = new Set(['after', 'tail'])
const placeVariables = new WeakMap<DocumentNode, Set<string>>()

/** The name of what a subscription's messages look like: readers with the same name are shown the same, wherever in the stream they begin. */
export function sharingKey({ document, operationName, variableValues }: ExecutionArgs, viewer: Viewer): string {
  const places = placeVariablesOf(document)
  const variables = Object.entries(variableValues ?? {})
    .filter(([name]) => !places.has(name))
    .sort(([a], [b]) => (a < b ? -1 : 1))
  const text = document.loc?.source.body ?? print(document)
  const name = operationName ?? getOperationAST(document)?.name?.value ?? null
  return JSON.stringify([viewer.tenantId, [...viewer.permissions].sort(), name, variables, text])
}

/** The variables that are used for nothing but the place to begin at. */
function placeVariablesOf(document: DocumentNode): Set<string> {
  const known = placeVariables.get(document)
  if (known) return known
  const places = new Map<string, number>()
  const uses = new Map<string, number>()
  const count = (counts: Map<string, number>, name: string) => counts.set(name, (counts.get(name) ?? 0) + 1)
  const types = new TypeInfo(schema)
  visit(
    document,
    visitWithTypeInfo(types, {
      VariableDefinition: () => false,
      Variable: ({ name }) => {
        count(uses, name.value)
      },
      Field: (node) => {
        if (types.getParentType() !== schema.getSubscriptionType()) return
        for (const { name, value } of node.arguments ?? []) {
          if (placeArguments.has(name.value) && value.kind === Kind.VARIABLE) count(places, value.name.value)
        }
      },
    }),
  )
  const found = new Set([...places].filter(([name, number]) => uses.get(name) === number).map(([name]) => name))
  placeVariables.set(document, found)
  return found
}
