import { beyond, conditions, isLabel, type JobOrder, type JobPlace, type JobSelection, orderBy } from './job-query.js'
import { all, type Sql, sql } from './sql.js'

/** A page of a list. */
export interface ListPage {
  selection: JobSelection
  ordering: JobOrder
  limit: number
  after?: JobPlace | undefined
}

/**
 * The query of a page, such that it reads few rows whatever the table holds: every part of it is one range of an index that has the order already.
 * Where several ranges make the list (two statuses, archived and not) each gives its first rows, and the page is
 * taken from those. `columns` are those of the table `job`.
 */
export function listQuery(tenantId: string, page: ListPage, columns: readonly string[]): Sql {
  const { ordering, limit } = page
  const select = `SELECT ${columns.map((column) => `job.${column}`).join(', ')}`
  const order = orderBy(ordering)
  const [only, ...others] = ranges(tenantId, page)
  if (only && others.length === 0) {
    return sql(`${select} FROM ${only.text} ORDER BY ${only.order} LIMIT ?`, ...only.values, limit)
  }
  const parts = [only, ...others].flatMap((range) => range ?? [])
  const union = parts
    .map((range) => `(SELECT job.job_id, job.${ordering.field} FROM ${range.text} ORDER BY ${range.order} LIMIT ?)`)
    .join(' UNION ALL ')
  return sql(
    `${select} FROM (SELECT * FROM (${union}) AS found ORDER BY ${orderBy(ordering, 'found')} LIMIT ?) AS page
     JOIN job ON job.job_id = page.job_id ORDER BY ${order}`,
    ...parts.flatMap(({ values }) => [...values, limit]),
    limit,
  )
}

interface Range extends Sql {
  /** The same order in the words of the index that is read. */
  order: string
}

function ranges(tenantId: string, { selection, ordering, after }: ListPage): Range[] {
  const driver = ordering.field === 'created_at' ? driverOf(tenantId, selection) : undefined
  if (driver) {
    const rest = conditions(tenantId, selection, { without: driver.of })
    const where = all([driver.where, after && beyond(ordering, after, driver.alias), rest])
    const from = `${driver.table} AS ${driver.alias} STRAIGHT_JOIN job ON job.job_id = ${driver.alias}.job_id`
    return [{ ...sql(`${from} WHERE ${where.text}`, ...where.values), order: orderBy(ordering, driver.alias) }]
  }
  const index = indexOf(selection, ordering)
  const from = index ? `job FORCE INDEX (${index})` : 'job'
  return parts(selection, ordering).map((part) => {
    const where = all([conditions(tenantId, part), after && beyond(ordering, after)])
    return { ...sql(`${from} WHERE ${where.text}`, ...where.values), order: orderBy(ordering) }
  })
}

/** The table of labels or of nodes, where it is a shorter way: it has the order of submission itself. */
function driverOf(tenantId: string, { labels = [], nodeId }: JobSelection) {
  if (nodeId) {
    return { of: 'node' as const, table: 'job_node', alias: 'n', where: sql('n.tenant_id = ? AND n.node_id = ?', tenantId, nodeId) }
  }
  const label = labels.find(({ value }) => value != null) ?? labels[0]
  if (!label || labels.some(({ key, value }) => key === 'type' && value === 'evaluation')) return undefined
  return { of: label, table: 'job_label', alias: 'l', where: isLabel('l', tenantId, label) }
}

/** The selection as parts that each have one value in the columns that stand before the order in the index. */
function parts(selection: JobSelection, ordering: JobOrder): JobSelection[] {
  const { statuses, archived } = selection
  const shelves: JobSelection[] =
    archived === 'INCLUDE'
      ? [
          { ...selection, archived: 'EXCLUDE' },
          { ...selection, archived: 'ONLY' },
        ]
      : [selection]
  if (!statuses?.length || ordering.field !== 'created_at') return shelves
  return [...new Set(statuses)].flatMap((status) => shelves.map((shelf) => ({ ...shelf, statuses: [status] })))
}

/** The index that has the order, unless there is a filter that leaves so little that its own index may be quicker. */
function indexOf(selection: JobSelection, { field }: JobOrder): string | undefined {
  const { userId, contentHash, evaluatesJobIds, hasOutput, labels, nodeId, statuses } = selection
  if (userId || contentHash || evaluatesJobIds || hasOutput || labels?.length || nodeId) return undefined
  if (field !== 'started_at' && (selection.startedAfter || selection.startedBefore)) return undefined
  if (field !== 'finished_at' && (selection.finishedAfter || selection.finishedBefore)) return undefined
  return field === 'created_at' && statuses?.length ? 'job_list_status_created' : `job_list_${field.replace('_at', '')}`
}
