import { createHash } from 'node:crypto'

/** A stream of numbers that depends on nothing but its seed. */
export interface Random {
  /** Uniform in [0, 1). */
  uniform(): number
  /** Standard normal. */
  normal(): number
}

/** A generator (sfc32) seeded by a number and a purpose, so that no two uses of one seed share a stream. */
export function seededRandom(seed: number, purpose: string): Random {
  const digest = createHash('sha256').update(`${purpose}:${seed}`).digest()
  let a = digest.readUInt32LE(0)
  let b = digest.readUInt32LE(4)
  let c = digest.readUInt32LE(8)
  let counter = digest.readUInt32LE(12)
  const next = () => {
    const sum = (a + b + counter) | 0
    counter = (counter + 1) | 0
    a = b ^ (b >>> 9)
    b = (c + (c << 3)) | 0
    c = ((c << 21) | (c >>> 11)) + sum
    c |= 0
    return (sum >>> 0) / 2 ** 32
  }
  return {
    uniform: next,
    normal: () => Math.sqrt(-2 * Math.log(1 - next())) * Math.cos(2 * Math.PI * next()),
  }
}

/** The numbers 0 to `count` - 1 in an order given by seed and purpose (Fisher–Yates). */
export function permutation(count: number, seed: number, purpose: string): Uint32Array {
  const order = Uint32Array.from({ length: count }, (_, index) => index)
  const random = seededRandom(seed, purpose)
  for (let last = count - 1; last > 0; last--) {
    const other = Math.floor(random.uniform() * (last + 1))
    const kept = order[last] as number
    order[last] = order[other] as number
    order[other] = kept
  }
  return order
}
