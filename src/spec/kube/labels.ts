/** Label selectors as text (`-l`, `?labelSelector=`). The LabelSelector object is in label-selector.ts. */
import { SlipwayError } from '../../errors.ts'

export type Labels = Readonly<Record<string, string>>
interface Requirement {
  key: string
  operator: 'in' | 'notin' | 'exists' | '!' | '=' | '!=' | 'gt' | 'lt'
  values: string[]
}
/** True when the labels match. */
type Matcher = (labels: Labels | undefined) => boolean

const none: Labels = {}
const matchesRequirement = (r: Requirement, labels: Labels): boolean => {
  const value = Object.hasOwn(labels, r.key) ? labels[r.key] : undefined
  switch (r.operator) {
    case 'exists':
      return value !== undefined
    case '!':
      return value === undefined
    case '=':
    case 'in':
      return value !== undefined && r.values.includes(value)
    case '!=':
    case 'notin':
      return value === undefined || !r.values.includes(value)
    case 'gt':
      return value !== undefined && Number(value) > Number(r.values[0])
    case 'lt':
      return value !== undefined && Number(value) < Number(r.values[0])
  }
}

const matcher =
  (requirements: Requirement[]): Matcher =>
  (labels = none) => {
    for (const r of requirements) if (!matchesRequirement(r, labels)) return false
    return true
  }

/** Splits on commas outside parentheses. */
const splitTerms = (text: string): string[] => {
  const terms: string[] = []
  let depth = 0
  let start = 0
  for (let i = 0; i < text.length; i++) {
    const c = text[i]
    if (c === '(') depth++
    else if (c === ')') depth--
    else if (c === ',' && depth === 0) {
      terms.push(text.slice(start, i))
      start = i + 1
    }
  }
  terms.push(text.slice(start))
  return terms.map((t) => t.trim())
}

/** `a=b,c!=d,e in (x,y),f notin (z),g,!h,i>1`; throws bad-request with Kubernetes' words. */
const parseLabelSelector = (text: string): Requirement[] => {
  if (text.trim() === '') return []
  return splitTerms(text).map((term) => {
    const set = /^([^\s!=<>(),]+)\s+(in|notin)\s*\(([^)]*)\)$/.exec(term)
    if (set)
      return {
        key: set[1]!,
        operator: set[2] as 'in' | 'notin',
        values: set[3]!.split(',').map((value) => value.trim()),
      }
    const not = /^!\s*([^\s!=<>(),]+)$/.exec(term)
    if (not) return { key: not[1]!, operator: '!', values: [] }
    const compare = /^([^\s!=<>(),]+)\s*(==|=|!=|>|<)\s*([^\s!=<>(),]*)$/.exec(term)
    if (compare) {
      const operator = { '=': '=', '==': '=', '!=': '!=', '>': 'gt', '<': 'lt' }[compare[2]!] as Requirement['operator']
      return { key: compare[1]!, operator, values: [compare[3]!] }
    }
    if (/^[^\s!=<>(),]+$/.test(term)) return { key: term, operator: 'exists', values: [] }
    throw new SlipwayError('bad-request', `unable to parse requirement: found '${term}', expected: identifier`)
  })
}

/** The matcher of a selector's text; empty matches everything. */
export const labelMatcher = (text: string | undefined): Matcher => matcher(parseLabelSelector(text ?? ''))

/** "a=b,c=d" of a plain map, keys in order. */
export const formatLabels = (labels: Labels | undefined): string =>
  Object.keys(labels ?? none)
    .sort()
    .map((key) => `${key}=${labels![key]}`)
    .join(',')
