/** The id that other doors know a thing of this type by, of that or of its global one. */
export function ownIdOf(type: string, id: string): string {
  const [named, ...rest] = Buffer.from(id, 'base64').toString().split(':')
  return named === type ? rest.join(':') : id
}

/** A job's own id, of that or of its global one. */
export const jobIdOf = (id: string): string => ownIdOf('Job', id)
