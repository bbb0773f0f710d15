/**
 * Kubernetes quantities ("250m", "1.5Gi", "2e3"). Source: apimachinery pkg/api/resource/quantity.go. Values are numbers:
 * exact up to 2^53 in the unit asked for, which is enough for bytes and for milli-CPUs.
 */
const scales: Record<string, number> = {
  n: 1e-9,
  u: 1e-6,
  m: 1e-3,
  '': 1,
  k: 1e3,
  M: 1e6,
  G: 1e9,
  T: 1e12,
  P: 1e15,
  E: 1e18,
  Ki: 2 ** 10,
  Mi: 2 ** 20,
  Gi: 2 ** 30,
  Ti: 2 ** 40,
  Pi: 2 ** 50,
  Ei: 2 ** 60,
}
const shape = /^([+-]?)(\d+\.?\d*|\.\d+)(?:([numkMGTPE]|[KMGTPE]i)|[eE]([+-]?\d+))?$/

/** The number meant, or undefined when the text is no quantity. */
export const parseQuantity = (text: string | number): number | undefined => {
  const match = shape.exec(String(text).trim())
  if (!match) return undefined
  const [, sign, digits, suffix, exponent] = match
  const value = exponent !== undefined ? Number(`${digits}e${exponent}`) : Number(digits) * scales[suffix ?? '']!
  return sign === '-' ? -value : value
}

// Products such as 0.1 * 1000 may miss an integer by a hair; that hair must not round up to a whole unit.
const ceil = (value: number): number => {
  const near = Math.round(value)
  return Math.abs(value - near) <= 1e-6 * Math.max(1, Math.abs(near)) * 1e-3 ? near : Math.ceil(value)
}

/** Whole units, rounded up; absent and unreadable count as 0. */
export const quantityValue = (text: string | number | undefined): number =>
  text === undefined ? 0 : ceil(parseQuantity(text) ?? 0)

/** Thousandths, rounded up; absent and unreadable count as 0. */
export const quantityMilli = (text: string | number | undefined): number =>
  text === undefined ? 0 : ceil((parseQuantity(text) ?? 0) * 1000)

/** Milli-units as text: 1500 → "1500m", 2000 → "2". */
export const formatMilli = (milli: number): string => (milli % 1000 === 0 ? String(milli / 1000) : `${milli}m`)

const binary = ['', 'Ki', 'Mi', 'Gi', 'Ti', 'Pi', 'Ei']
/** Bytes with the largest binary suffix that loses nothing: 1073741824 → "1Gi", 1500 → "1500". */
export const formatBytes = (bytes: number): string => {
  let step = 0
  let value = bytes
  while (value !== 0 && value % 1024 === 0 && step < binary.length - 1) {
    value /= 1024
    step++
  }
  return `${value}${binary[step]}`
}
