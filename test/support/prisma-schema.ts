/** A table as a Prisma schema declares it, in MariaDB's own words. */
export interface DeclaredTable {
  /** Column → `varchar(40) not null default 'x'`. */
  columns: Record<string, string>
  /** Index → `unique (a, b desc)`; the primary key is `PRIMARY`. */
  indexes: Record<string, string>
  /** Foreign key → `(job_id) references job (job_id) cascade restrict`. */
  foreignKeys: Record<string, string>
}

const plainTypes: Record<string, string> = { Int: 'int(11)', BigInt: 'bigint(20)', Boolean: 'tinyint(1)', Float: 'double' }
const nativeTypes: Record<string, string> = { VarChar: 'varchar', Char: 'char', Text: 'text', LongText: 'longtext', DateTime: 'datetime' }

/** Reads the models of a Prisma schema, each field written on one line. Throws on a type that it does not know. */
export function declaredTables(schema: string): Record<string, DeclaredTable> {
  const models = [...schema.matchAll(/^model (\w+) \{\n([\s\S]*?)^\}/gm)].map(([, name = '', body = '']) => ({
    name,
    lines: body.split('\n'),
  }))
  const tableOf = new Map(models.map(({ name, lines }) => [name, /@@map\("(\w+)"\)/.exec(lines.join('\n'))?.[1] ?? name]))
  return Object.fromEntries(models.map(({ name, lines }) => [tableOf.get(name), readModel(lines, tableOf)]))
}

function readModel(lines: string[], tableOf: Map<string, string>): DeclaredTable {
  const table: DeclaredTable = { columns: {}, indexes: {}, foreignKeys: {} }
  const fields = lines.map((line) => /^ {2}(\w+)\s+(\w+)(\??)(\[\])?\s*(.*)$/.exec(line)).filter((field) => field !== null)
  const columnOf = new Map(fields.map(([, name = '', , , , rest = '']) => [name, /@map\("(\w+)"\)/.exec(rest)?.[1] ?? name]))
  const columns = (list: string) =>
    list
      .split(/,\s*(?![^(]*\))/)
      .map((item) => /^(\w+)(\(sort: Desc\))?$/.exec(item.trim()) ?? [])
      .map(([, name = '', desc]) => `${columnOf.get(name)}${desc ? ' desc' : ''}`)
      .join(', ')

  for (const [, name = '', type = '', optional, list, rest = ''] of fields) {
    const column = columnOf.get(name) ?? name
    if (tableOf.has(type)) {
      const relation = /@relation\(fields: \[(\w+)\], references: \[(\w+)\], onDelete: (\w+), onUpdate: (\w+), map: "(\w+)"\)/.exec(rest)
      if (!list && relation) {
        const [, from = '', to = '', onDelete = '', onUpdate = '', key = ''] = relation
        table.foreignKeys[key] =
          `(${columnOf.get(from)}) references ${tableOf.get(type)} (${snake(to)}) ${onDelete.toLowerCase()} ${onUpdate.toLowerCase()}`
      }
      continue
    }
    table.columns[column] = `${columnType(type, rest)}${optional ? '' : ' not null'}${columnDefault(rest)}`
    if (/@id\b/.test(rest)) table.indexes.PRIMARY = `unique (${column})`
    const unique = /@unique\(map: "(\w+)"\)/.exec(rest)?.[1]
    if (unique) table.indexes[unique] = `unique (${column})`
  }
  for (const line of lines) {
    const [, kind, list = '', key = 'PRIMARY'] = /^ {2}@@(id|index|unique)\(\[(.*)\](?:, map: "(\w+)")?\)/.exec(line) ?? []
    if (kind) table.indexes[key] = `${kind === 'index' ? '' : 'unique '}(${columns(list)})`
  }
  return table
}

function columnType(type: string, rest: string): string {
  const [, native = '', size] = /@db\.(\w+)(?:\((\d+)\))?/.exec(rest) ?? []
  const known = native ? nativeTypes[native] : plainTypes[type]
  if (!known) throw new Error(`The schema uses ${type} ${native}, which this comparison does not know.`)
  return size ? `${known}(${size})` : known
}

function columnDefault(rest: string): string {
  const [, value] = /@default\(("[^"]*"|[^)]+)\)/.exec(rest) ?? []
  if (value === undefined) return ''
  const sql = value === 'true' ? '1' : value === 'false' ? '0' : value.replace(/"/g, "'")
  return ` default ${sql}`
}

const snake = (name: string): string => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)
