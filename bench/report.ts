/** What benchmarks hand back, and the table made of it. */

export interface Result {
  /** What was measured, as the table's first column. */
  name: string
  /** Ours, and the one it is compared with, in `unit`; without a peer the goal is absolute. */
  ours: number
  peer?: number | undefined
  unit: 'ms' | 'µs' | 's' | 'MB' | '%' | 'req/s' | 'MB/s'
  /** With a peer: of ours / peer. Without: of ours. */
  goal: { most: number } | { least: number }
}

export interface Benchmark {
  name: string
  /** One line: what it does. */
  about: string
  run(bench: import('./bench.ts').Bench): Promise<Result[]>
}

export const median = (values: readonly number[]): number => {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2
}

/** Runs both sides in turn, so that what else the machine does hits both alike; gives the medians. */
export const inTurn = async (rounds: number, ...sides: (() => Promise<number>)[]): Promise<number[]> => {
  const taken = sides.map((): number[] => [])
  for (const side of sides) await side() // warm
  for (let round = 0; round < rounds; round++) for (const [i, side] of sides.entries()) taken[i]!.push(await side())
  return taken.map(median)
}

export const meets = (result: Result): boolean => {
  const value = result.peer === undefined ? result.ours : result.ours / result.peer
  return 'most' in result.goal ? value <= result.goal.most : value >= result.goal.least
}

const figure = (value: number | undefined, unit: string): string =>
  value === undefined
    ? ''
    : `${value < 10 ? value.toFixed(2) : value < 100 ? value.toFixed(1) : value.toFixed(0)} ${unit}`

/** As a Markdown table, which is readable on a terminal as well. */
export const table = (results: readonly Result[]): string => {
  const rows = results.map((result) => {
    const bound = 'most' in result.goal ? `≤ ${result.goal.most}` : `≥ ${result.goal.least}`
    return [
      result.name,
      figure(result.ours, result.unit),
      figure(result.peer, result.unit),
      result.peer === undefined ? '' : (result.ours / result.peer).toFixed(2),
      result.peer === undefined ? `${bound} ${result.unit}` : bound,
      meets(result) ? 'met' : 'missed',
    ]
  })
  const all = [['measured', 'ours', 'theirs', 'ratio', 'goal', ''], ...rows]
  const widths = all[0]!.map((_, column) => Math.max(...all.map((row) => row[column]!.length)))
  const line = (row: readonly string[]): string => `| ${row.map((cell, i) => cell.padEnd(widths[i]!)).join(' | ')} |`
  return [line(all[0]!), line(widths.map((width) => '-'.repeat(width))), ...all.slice(1).map(line)].join('\n')
}
