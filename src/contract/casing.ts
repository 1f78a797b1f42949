/** `training_config` → `trainingConfig`. */
export const toCamel = (name: string): string => name.replace(/_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase())

/** `trainingConfig` → `training_config`. */
export const toSnake = (name: string): string => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)

/** A path in the caller's casing: `data_config.sources[0].path` → `dataConfig.sources[0].path`. What stands below a free-form map keeps its spelling. */
export const camelPath = (path: string): string => mapPath(path, toCamel)

/** The same the other way. */
export const snakePath = (path: string): string => mapPath(path, toSnake)

// Keys below these fields are the user's words, not ours.
const freeForm = new Set([
  'hyperparameters',
  'environment',
  'labels',
  'model_kwargs',
  'modelKwargs',
  'config',
  'filters',
  'sampling',
  'field_mapping',
  'fieldMapping',
  'node_selector',
  'nodeSelector',
  'parameters',
])

function mapPath(path: string, rename: (name: string) => string): string {
  const parts = path.split('.')
  const end = parts.findIndex((part) => freeForm.has(part))
  return parts.map((part, index) => (end >= 0 && index > end ? part : rename(part))).join('.')
}
