/** The name of a JSON file that each launcher of an attempt writes: rank 0's has no number. */
export function rankFile(name: 'launcher' | 'exit', rank: number): string {
  return rank === 0 ? `${name}.json` : `${name}.${rank}.json`
}
