/** A JSON object of which nothing is known yet. */
export type Fields = Readonly<Record<string, unknown>>

/** The object at `path` inside `root`, such as `training_config.base_model`; empty where there is none. */
export function objectAt(root: unknown, path: string): Fields {
  let value = root
  for (const name of path === '' ? [] : path.split('.')) value = isObject(value) ? value[name] : undefined
  return isObject(value) ? value : {}
}

/** Whether a value says nothing: what protobuf sends for a field that was not set. */
export function isUnset(value: unknown): boolean {
  if (value === undefined || value === null || value === '' || value === 0 || value === false) return true
  if (typeof value === 'string') return value === '0' || value.endsWith('_UNSPECIFIED')
  if (Array.isArray(value)) return value.length === 0
  return isObject(value) && Object.values(value).every(isUnset)
}

/** The names of an object's fields that say something. */
export function setFields(fields: Fields): string[] {
  return Object.keys(fields).filter((name) => !isUnset(fields[name]))
}

function isObject(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
