/**
 * At most `maxPoints` of a series' points, in their order, such that its shape and its peaks survive: the first, the last, and the lowest
 * and the highest of each of equally long stretches of steps. Few enough points come back as they are. From four points on, the lowest and
 * the highest of all are among them.
 */
export function downsample<Point extends { step: number; value: number }>(points: Point[], maxPoints: number): Point[] {
  const first = points[0]
  const last = points.at(-1)
  if (points.length <= maxPoints || !first || !last) return points
  const stretches = Math.floor((maxPoints - 2) / 2)
  const kept: Point[] = [first]
  const width = (last.step - first.step) / Math.max(1, stretches) || 1
  let low: Point | null = null
  let high: Point | null = null
  let stretch = 0
  function close(): void {
    if (!low || !high) return
    if (low === high) kept.push(low)
    else if (lowIndex < highIndex) kept.push(low, high)
    else kept.push(high, low)
    low = high = null
  }
  let lowIndex = 0
  let highIndex = 0
  for (let index = 1; index < points.length - 1 && stretches > 0; index++) {
    const point = points[index]
    if (!point) continue
    // Never back: steps that do not grow stay in the stretch that they came in.
    const its = Math.max(stretch, Math.min(stretches - 1, Math.floor((point.step - first.step) / width)))
    if (its !== stretch) close()
    stretch = its
    if (!low || point.value < low.value) [low, lowIndex] = [point, index]
    if (!high || point.value > high.value) [high, highIndex] = [point, index]
  }
  close()
  kept.push(last)
  return kept
}
