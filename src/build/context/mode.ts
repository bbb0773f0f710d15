/** The mode that an octal number says; undefined for a symbolic one. */
export const fixedMode = (text: string): number | undefined =>
  /^[0-7]+$/.test(text) ? Number.parseInt(text, 8) : undefined

/** `--chmod=755` or `--chmod=u=rwX,go=rX` as a function of a file's mode. */
export const modeChange = (text: string): ((mode: number, directory: boolean) => number) => {
  const fixed = fixedMode(text)
  if (fixed !== undefined) return () => fixed
  const clauses = text.split(',')
  return (mode, directory) => clauses.reduce((now, clause) => applyClause(now, clause, directory), mode)
}

const classes: Record<string, number> = { u: 0o700, g: 0o070, o: 0o007 }
const spread = (bits: number): number => (bits << 6) | (bits << 3) | bits

const applyClause = (mode: number, clause: string, directory: boolean): number => {
  const who = /^[ugoa]*/.exec(clause)![0]
  const letters = who === '' || who.includes('a') ? 'ugo' : who
  const mask = [...letters].reduce((sum, letter) => sum | classes[letter]!, 0)
  let now = mode
  for (const [, operator, what] of clause.slice(who.length).matchAll(/([-+=])([ugo]|[rwxXst]*)/g)) {
    const bits = (permissions(now, what!, directory) & mask) | special(what!, letters)
    if (operator === '+') now |= bits
    else if (operator === '-') now &= ~bits
    else now = (now & ~(mask | (letters.includes('u') ? 0o4000 : 0) | (letters.includes('g') ? 0o2000 : 0))) | bits
  }
  return now & 0o7777
}

const permissions = (mode: number, what: string, directory: boolean): number => {
  if (what === 'u') return spread((mode >> 6) & 7)
  if (what === 'g') return spread((mode >> 3) & 7)
  if (what === 'o') return spread(mode & 7)
  let bits = 0
  if (what.includes('r')) bits |= 4
  if (what.includes('w')) bits |= 2
  if (what.includes('x') || (what.includes('X') && (directory || (mode & 0o111) !== 0))) bits |= 1
  return spread(bits)
}

const special = (what: string, letters: string): number =>
  (what.includes('s') && letters.includes('u') ? 0o4000 : 0) |
  (what.includes('s') && letters.includes('g') ? 0o2000 : 0) |
  (what.includes('t') ? 0o1000 : 0)
