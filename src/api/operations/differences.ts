import { camelPath } from '../../contract/casing.js'
import { fromTimestamp } from '../../contract/proto.js'
import type { Difference } from './job-types.js'

type Message = Readonly<Record<string, unknown>>

// 64-bit numbers are text on the wire; elsewhere text is what the caller wrote.
const wholeNumbers = /^(data_config\.seed|scheduling_config\.max_runtime_seconds|data_hashes\[\d+\]\.records)$/

/**
 * What is not the same in all of the messages, by its path. What protobuf fills in where nothing was said counts as nothing, unless the field tells that
 * it was set; maps differ by key, lists of plain values as a whole.
 */
export function differences(messages: readonly Message[]): Difference[] {
  const flat = messages.map((message) => new Map(leaves(message, '')))
  const paths = [...new Set(flat.flatMap((leaf) => [...leaf.keys()]))]
  return paths.flatMap((path) => {
    const found = flat.map((leaf) => leaf.get(path))
    const first = said(found[0])
    if (found.every((leaf) => said(leaf) === first)) return []
    return [{ path: camelPath(path), values: found.map((leaf) => leaf?.value ?? null) }]
  })
}

interface Leaf {
  value: unknown
  isDefault: boolean
}

const said = (leaf: Leaf | undefined): string => (!leaf || leaf.isDefault ? '' : JSON.stringify(leaf.value))

function* leaves(value: unknown, path: string, isExplicit = false): Generator<[string, Leaf]> {
  if (value == null || value === '' || (typeof value === 'string' && value.endsWith('_UNSPECIFIED'))) return
  if (Array.isArray(value)) {
    if (value.some((item) => typeof item === 'object')) for (const [at, item] of value.entries()) yield* leaves(item, `${path}[${at}]`)
    else if (value.length > 0) yield [path, { value, isDefault: false }]
    return
  }
  if (typeof value !== 'object') {
    const shown = wholeNumbers.test(path) && Number.isSafeInteger(Number(value)) ? Number(value) : value
    yield [path, { value: shown, isDefault: !isExplicit && (shown === 0 || shown === false) }]
    return
  }
  const fields = value as Message
  if ('seconds' in fields && 'nanos' in fields) {
    yield [path, { value: fromTimestamp(fields as { seconds: string; nanos: number })?.toISOString(), isDefault: false }]
    return
  }
  for (const [name, inner] of Object.entries(fields)) {
    // `_priority` says that `priority` was set.
    if (!name.startsWith('_')) yield* leaves(inner, path ? `${path}.${name}` : name, `_${name}` in fields)
  }
}
