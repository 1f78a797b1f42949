/** How deep a value that a caller sends may be nested: more than twice what the deepest input has. Without an end it could be deeper than what reads it. */
export const levelsMax = 20

/** Whether a parsed JSON value has more levels of lists and objects than this. */
export function isDeeperThan(levels: number, value: unknown): boolean {
  if (value === null || typeof value !== 'object') return false
  return levels === 0 || Object.values(value).some((inner) => isDeeperThan(levels - 1, inner))
}
