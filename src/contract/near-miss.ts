/** ` (did you mean …?)` where one of the known names is close to the given one; otherwise nothing. */
export function nearMiss(name: string, known: readonly string[]): string {
  const nearest = known.map((candidate) => ({ candidate, away: editDistance(name, candidate) })).sort((a, b) => a.away - b.away)[0]
  return nearest && nearest.away <= Math.max(2, Math.floor(name.length / 3)) ? ` (did you mean ${nearest.candidate}?)` : ''
}

function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      const replaced = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1)
      next.push(Math.min(replaced, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1))
    }
    row = next
  }
  return row[b.length] ?? 0
}
