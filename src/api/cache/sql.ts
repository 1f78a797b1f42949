/** A piece of SQL and the values of its question marks. */
export interface Sql {
  text: string
  values: unknown[]
}

/** A piece of SQL; what callers gave goes into `values` only. */
export const sql = (text: string, ...values: unknown[]): Sql => ({ text, values })

/** `column IN (…)`. */
export const oneOf = (column: string, values: readonly unknown[]): Sql =>
  values.length === 1 ? sql(`${column} = ?`, values[0]) : sql(`${column} IN (${values.map(() => '?').join(', ') || 'NULL'})`, ...values)

/** `column = value`, spaces at the end of either included: MariaDB leaves those out where it compares. */
export const exactly = (column: string, value: string): Sql =>
  sql(`${column} = ? AND OCTET_LENGTH(${column}) = ?`, value, Buffer.byteLength(value))

/** All of the conditions that are there. */
export function all(conditions: readonly (Sql | false | 0 | '' | null | undefined)[]): Sql {
  const there = conditions.filter((condition) => !!condition)
  return { text: there.map(({ text }) => text).join(' AND '), values: there.flatMap(({ values }) => values) }
}
