/** Chance that can be repeated: the same seed draws the same. */
export interface Chance {
  /** From 0 to below 1. */
  next(): number
  /** From `least` to `most`, both included. */
  between(least: number, most: number): number
  one<T>(of: readonly T[]): T
  /** True so often, from 0 to 1. */
  happens(rate: number): boolean
  bytes(length: number): Buffer
  /** A source of its own, so that what happens beside it does not change what it draws. */
  branch(name: string): Chance
}

/** mulberry32: 32 bits of state are plenty for a test. */
export const chanceOf = (seed: string): Chance => {
  let state = 0
  for (const letter of seed) state = (Math.imul(state, 31) + letter.charCodeAt(0)) | 0
  const word = (): number => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return (mixed ^ (mixed >>> 14)) >>> 0
  }
  const next = (): number => word() / 2 ** 32
  const between = (least: number, most: number): number => least + Math.floor(next() * (most - least + 1))
  return {
    next,
    between,
    one: (of) => of[between(0, of.length - 1)]!,
    happens: (rate) => next() < rate,
    bytes(length) {
      const data = Buffer.allocUnsafe((length + 3) & ~3)
      for (let at = 0; at < data.length; at += 4) data.writeUInt32LE(word(), at)
      return data.subarray(0, length)
    },
    branch: (name) => chanceOf(`${seed}/${name}`),
  }
}
