import {
  type DocumentNode,
  type FieldNode,
  GraphQLError,
  type GraphQLSchema,
  getOperationAST,
  Kind,
  TypeInfo,
  type ValueNode,
  visit,
  visitWithTypeInfo,
} from 'graphql'

/**
 * Where a client says in `Last-Event-ID` which message it saw last, and its subscription has no `after`: the document with `after` filled in.
 * Such a client reconnects with the request it first sent, so that only the header can say how far it came.
 */
export function resumeAfter(
  schema: GraphQLSchema,
  document: DocumentNode,
  operationName: string | null | undefined,
  variables: Record<string, unknown>,
  cursor: string,
): DocumentNode {
  const operation = getOperationAST(document, operationName)
  if (operation?.operation !== 'subscription') return document
  if (!/^[A-Za-z0-9_-]{1,200}$/.test(cursor))
    throw new GraphQLError('Last-Event-ID: this is not a cursor.', { extensions: { code: 'CURSOR_INVALID' } })
  const types = new TypeInfo(schema)
  // The field may stand in a fragment.
  const Field = (node: FieldNode) => {
    if (types.getParentType() !== schema.getSubscriptionType()) return undefined
    const given = node.arguments?.find(({ name }) => name.value === 'after')
    if (given && !isAbsent(given.value, variables)) return undefined
    const after = { kind: Kind.ARGUMENT, name: { kind: Kind.NAME, value: 'after' }, value: { kind: Kind.STRING, value: cursor } } as const
    return { ...node, arguments: [...(node.arguments ?? []).filter((argument) => argument !== given), after] }
  }
  return visit(document, visitWithTypeInfo(types, { Field }))
}

function isAbsent(value: ValueNode, variables: Record<string, unknown>): boolean {
  if (value.kind === Kind.VARIABLE) return variables[value.name.value] == null
  return value.kind === Kind.NULL
}
