/** A row of a CSV file, or why it is none. */
export interface CsvRow {
  /** The line that it begins on, counted from 1. */
  line: number
  cells: string[]
  /** What breaks it; '' where nothing does. */
  problem: string
}

/**
 * The rows of a CSV file as RFC 4180 has it: commas, cells in double quotes where they hold commas, quotes (doubled) or line ends. Lines may
 * end in LF alone; empty ones are skipped.
 */
export function readCsvRows(text: string): CsvRow[] {
  const rows: CsvRow[] = []
  let line = 1
  for (let at = 0; at < text.length; ) {
    const { cells, problem, end } = readRow(text, at)
    if (problem || cells.length > 1 || cells[0] !== '') rows.push({ line, cells, problem })
    for (let newline = text.indexOf('\n', at); newline >= 0 && newline < end; newline = text.indexOf('\n', newline + 1)) line++
    at = end
  }
  return rows
}

function readRow(text: string, start: number): { cells: string[]; problem: string; end: number } {
  const cells: string[] = []
  const broken = (problem: string, from: number) => ({ cells, problem, end: lineEnd(text, from) + 1 })
  for (let at = start; ; at++) {
    const isQuoted = text[at] === '"'
    const cell = isQuoted ? quotedCell(text, at) : plainCell(text, at)
    // Whatever follows is inside the quotes, too: there is no next row.
    if (!cell) return { cells, problem: `the quotes of cell ${cells.length + 1} are never closed`, end: text.length }
    if (!isQuoted && cell.value.includes('"')) return broken(`cell ${cells.length + 1} has quotes inside and none around it`, cell.end)
    cells.push(cell.value)
    at = cell.end
    if (text[at] === ',') continue
    const ending = text.startsWith('\r\n', at) ? 2 : 1
    if (at >= text.length || ending === 2 || text[at] === '\n') return { cells, problem: '', end: at + ending }
    return broken(`text follows the closing quotes of cell ${cells.length}`, at)
  }
}

function quotedCell(text: string, start: number): { value: string; end: number } | null {
  for (let from = start + 1; ; ) {
    const quote = text.indexOf('"', from)
    if (quote < 0) return null
    if (text[quote + 1] !== '"') return { value: text.slice(start + 1, quote).replaceAll('""', '"'), end: quote + 1 }
    from = quote + 2
  }
}

function plainCell(text: string, start: number): { value: string; end: number } {
  const newline = lineEnd(text, start)
  const last = text[newline - 1] === '\r' && newline > start ? newline - 1 : newline
  const comma = text.slice(start, last).indexOf(',')
  const end = comma < 0 ? last : start + comma
  return { value: text.slice(start, end), end }
}

function lineEnd(text: string, from: number): number {
  const newline = text.indexOf('\n', from)
  return newline < 0 ? text.length : newline
}
