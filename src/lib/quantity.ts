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

const decimalSteps = ['n', 'u', 'm', '', 'k', 'M', 'G', 'T', 'P', 'E']
const nano = 1_000_000_000n

/** The value in units of 1e-9, rounded away from zero as Kubernetes does; undefined when the text is no quantity. */
const nanoOf = (text: string): { sign: string; value: bigint; suffix: string; exponent: boolean } | undefined => {
  const match = shape.exec(text)
  if (!match) return undefined
  const [, sign, digits, suffix = '', exponent] = match
  const [whole, fraction = ''] = digits!.split('.')
  let value = BigInt(whole + fraction) * nano
  let divisor = 10n ** BigInt(fraction.length)
  if (suffix.endsWith('i')) value *= 1024n ** BigInt(binary.indexOf(suffix))
  else {
    const power = exponent === undefined ? 3 * (decimalSteps.indexOf(suffix) - 3) : Number(exponent)
    if (Math.abs(power) > 60) return undefined
    if (power >= 0) value *= 10n ** BigInt(power)
    else divisor *= 10n ** BigInt(-power)
  }
  return {
    sign: sign === '-' ? '-' : '',
    value: (value + divisor - 1n) / divisor,
    suffix,
    exponent: exponent !== undefined,
  }
}

/**
 * The one way to write a quantity: no fraction, the largest suffix that loses nothing, of the family the text used
 * ("0.5" → "500m", "1024Mi" → "1Gi", "1.5Gi" → "1536Mi"). undefined when the text is no quantity.
 */
export const canonicalQuantity = (text: string): string | undefined => {
  const read = nanoOf(text)
  if (!read) return undefined
  let { value } = read
  if (value === 0n) return '0'
  if (read.suffix.endsWith('i') && value >= 1024n * nano) {
    value = (value + nano - 1n) / nano
    let step = 0
    while (value % 1024n === 0n && step < binary.length - 1) {
      value /= 1024n
      step++
    }
    return `${read.sign}${value}${binary[step]}`
  }
  let step = 0
  while (value % 1000n === 0n && step < decimalSteps.length - 1) {
    value /= 1000n
    step++
  }
  if (!read.exponent || step === 3) return `${read.sign}${value}${decimalSteps[step]}`
  return `${read.sign}${value}e${3 * (step - 3)}`
}

/** Compares exactly: negative, zero or positive. Both must be quantities. */
export const compareQuantities = (a: string, b: string): number => {
  const signed = (text: string): bigint => {
    const read = nanoOf(text)
    return read ? (read.sign ? -read.value : read.value) : 0n
  }
  const difference = signed(a) - signed(b)
  return difference < 0n ? -1 : difference > 0n ? 1 : 0
}
/** The exact sum of quantities, written in the family of the first. */
export const addQuantities = (...texts: string[]): string => {
  let sum = 0n
  for (const text of texts) {
    const read = nanoOf(text)
    if (read) sum += read.sign ? -read.value : read.value
  }
  const family = /[KMGTPE]i$/.test(texts.find((t) => !/^0\D*$/.test(t)) ?? '') && sum % nano === 0n
  if (!family) return canonicalQuantity(sum < 0n ? `-${-sum}n` : `${sum}n`)!
  const bytes = sum / nano
  if (bytes > -1024n && bytes < 1024n) return String(bytes)
  return formatBytes(Number(bytes))
}
