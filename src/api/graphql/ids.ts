/** The id that other doors know a thing of this type by, of that or of its global one. */
export function ownIdOf(type: string, id: string): string {
  const [named, ...rest] = Buffer.from(id, 'base64').toString().split(':')
  return named === type ? rest.join(':') : id
}

/** Types that a global id may be of. */
export const nodeTypes = ['Job', 'Evaluation', 'ModelArtefact', 'Dataset', 'ClusterNode', 'RegisteredModel']

/** The id of a job that there never is. */
export const noJob = 'none'

/** What a global id names. One that names nothing is read as that of a job that there never is, so that it is answered null like any other. */
export function readGlobalId(id: string): { typename: string; id: string } {
  const [typename = '', ...rest] = Buffer.from(id, 'base64').toString().split(':')
  return nodeTypes.includes(typename) && rest.join('') !== '' ? { typename, id: rest.join(':') } : { typename: 'Job', id: noJob }
}

/** A job's own id, of that or of its global one. */
export const jobIdOf = (id: string): string => ownIdOf('Job', id)
