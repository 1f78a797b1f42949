/** A path that a tenant named, and where it may lead. */
export interface AllowedPathOptions {
  path: string
  tenantId: string
  /** The operator's folders; `{tenant}` is replaced. */
  dataRoots: string[]
  /** The field the path came from, for the refusal: `data_config.sources[0].path`. */
  field: string
}

/**
 * The real path of an existing file or folder that the tenant may name: absolute, links followed, under one of the data roots. A relative
 * path is looked for in each root in turn. Throws InvalidInput (INVALID_ARGUMENT); the refusal never tells whether something outside exists.
 */
export async function resolveAllowedPath(_options: AllowedPathOptions): Promise<string> {
  throw new Error('not built yet')
}

/** The same for a folder that may yet have to be made: its nearest existing parent must be allowed. Makes nothing. */
export async function resolveAllowedFolder(_options: AllowedPathOptions): Promise<string> {
  throw new Error('not built yet')
}
