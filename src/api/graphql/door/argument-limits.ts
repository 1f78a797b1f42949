import { type ArgumentNode, type DocumentNode, GraphQLError, Kind, type ListValueNode, type ValueNode, visit } from 'graphql'
import { isDeeperThan, levelsMax } from '../../../contract/depth.js'
import type { Limits } from '../context.js'

type Variables = Readonly<Record<string, unknown>>

/** What is too much in the arguments of an operation, literal or by variable: lists that are too long, pages that are too large, variables that are too deep. Looked for before anything runs. */
export function argumentProblems(
  document: DocumentNode,
  variables: Variables,
  { listLength, pageSize }: Pick<Limits, 'listLength' | 'pageSize'>,
): GraphQLError[] {
  const problems: GraphQLError[] = []
  const report = (message: string, node?: ValueNode) => problems.push(new GraphQLError(message, node ? { nodes: node } : {}))
  const tooLong = (path: string, length: number) => `${path}: a list has at most ${listLength} items here, not ${length}.`

  for (const [name, value] of Object.entries(variables)) {
    if (isDeeperThan(levelsMax, value)) {
      report(`$${name}: a value is nested at most ${levelsMax} levels deep.`)
      continue
    }
    for (const list of longLists(value, `$${name}`, listLength)) report(tooLong(list.path, list.length))
  }
  const { lists, sizes, defaults } = measurable(document)
  for (const node of lists) if (node.values.length > listLength) report(tooLong('list', node.values.length), node)
  for (const { name, value } of sizes) {
    const size = numberOf(value, variables, defaults)
    if (size !== null && size > pageSize) report(`${name.value}: a page has at most ${pageSize} items, not ${size}.`, value)
  }
  return problems
}

/** What of a document has a limit. */
interface Measurable {
  lists: ListValueNode[]
  /** The arguments `first` and `last`. */
  sizes: ArgumentNode[]
  /** Of variables, by name. */
  defaults: Map<string, ValueNode>
}

const known = new WeakMap<DocumentNode, Measurable>()

/** Looked for once in each document. */
function measurable(document: DocumentNode): Measurable {
  const before = known.get(document)
  if (before) return before
  const found: Measurable = { lists: [], sizes: [], defaults: new Map() }
  visit(document, {
    VariableDefinition({ variable, defaultValue }) {
      if (defaultValue) found.defaults.set(variable.name.value, defaultValue)
    },
    ListValue(node) {
      found.lists.push(node)
    },
    Field({ name: { value: field }, arguments: given = [] }) {
      // Pages of log lines have a limit of their own.
      if (field !== 'logs') found.sizes.push(...given.filter(({ name }) => name.value === 'first' || name.value === 'last'))
    },
  })
  known.set(document, found)
  return found
}

function numberOf(node: ValueNode, variables: Variables, defaults: Map<string, ValueNode>): number | null {
  if (node.kind === Kind.INT) return Number(node.value)
  if (node.kind !== Kind.VARIABLE) return null
  const given = variables[node.name.value]
  if (typeof given === 'number') return given
  const fallback = given === undefined ? defaults.get(node.name.value) : undefined
  return fallback?.kind === Kind.INT ? Number(fallback.value) : null
}

function longLists(value: unknown, path: string, lengthMax: number): { path: string; length: number }[] {
  if (value === null || typeof value !== 'object') return []
  if (Array.isArray(value)) {
    if (value.length > lengthMax) return [{ path, length: value.length }]
    return value.flatMap((item, index) => longLists(item, `${path}[${index}]`, lengthMax))
  }
  return Object.entries(value).flatMap(([key, inner]) => longLists(inner, `${path}.${key}`, lengthMax))
}
