/** A job's own id, of that or of its global one. */
export function jobIdOf(id: string): string {
  if (id.startsWith('job_')) return id
  const [type, ...rest] = Buffer.from(id, 'base64').toString().split(':')
  return type === 'Job' ? rest.join(':') : id
}
