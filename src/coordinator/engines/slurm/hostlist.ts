/** Slurm's short form of names, `gpu[01-03,07],login1`, as the names in order. Throws where it is none. */
export function expandHosts(list: string): string[] {
  if (list === '' || list === '(null)') return []
  return splitOutside(list).flatMap(expandOne)
}

/** Slurm's short form of numbers, `0-2,5`, as the numbers in order. */
export function expandNumbers(list: string): number[] {
  return list.split(',').flatMap((part) => {
    const [first = '', last = first] = part.split('-')
    if (!/^\d+$/.test(first) || !/^\d+$/.test(last)) return []
    return Array.from({ length: Number(last) - Number(first) + 1 }, (_, i) => Number(first) + i)
  })
}

function expandOne(name: string): string[] {
  const match = /^([^[\]]*)\[([^[\]]+)\](.*)$/.exec(name)
  if (!match) {
    if (/[[\]]/.test(name)) throw new Error(`${name} is not a list of nodes.`)
    return [name]
  }
  const [, before = '', ranges = '', after = ''] = match
  const ends = expandOne(after)
  return ranges.split(',').flatMap((range) => {
    const [first = '', last = first] = range.split('-')
    const numbers = expandNumbers(`${Number(first)}-${Number(last)}`)
    return numbers.flatMap((number) => ends.map((end) => `${before}${String(number).padStart(first.length, '0')}${end}`))
  })
}

/** Splits at the commas that are not in brackets. */
function splitOutside(list: string): string[] {
  return list.match(/(?:[^,[]|\[[^\]]*\])+/g) ?? []
}
