/**
 * Where a build's sources may come from, and where they come from instead: BuildKit's source policies (sourcepolicy/engine.go,
 * sourcepolicy/pb/policy.proto). Of the rules that match, the last one that allows or denies counts; after one that converts,
 * all are asked again about what it made.
 */
import { SlipwayError } from '../errors.ts'

const actions = ['ALLOW', 'DENY', 'CONVERT'] as const
const matchTypes = ['WILDCARD', 'EXACT', 'REGEX'] as const
const conditions = ['EQUAL', 'NOTEQUAL', 'MATCHES'] as const

export interface SourceRule {
  action: (typeof actions)[number]
  selector: {
    identifier: string
    match: (typeof matchTypes)[number]
    constraints: readonly { key: string; value: string; condition: (typeof conditions)[number] }[]
  }
  /** Of CONVERT. An empty identifier leaves it as it is. */
  updates?: { identifier: string; attrs: Readonly<Record<string, string>> } | undefined
}

/** 'docker-image://docker.io/library/debian:latest', 'https://…', 'git://host/path#ref', 'local://context'. */
export interface SourceId {
  identifier: string
  /** 'http.checksum', 'git.fullurl' … */
  attrs: Readonly<Record<string, string>>
}

/** A policy as its messages and files have it: what is absent is its type's first value, an enumeration a number or a name. */
export interface GivenPolicy {
  rules?: readonly GivenRule[] | null | undefined
}
interface GivenRule {
  action?: number | string
  selector?: GivenSelector | undefined
  updates?: { identifier?: string; attrs?: Record<string, string> | null } | undefined
}
interface GivenSelector {
  identifier?: string
  match_type?: number | string
  constraints?: readonly { key?: string; value?: string; condition?: number | string }[] | null
}

export const sourceRules = ({ rules }: GivenPolicy): SourceRule[] =>
  (rules ?? []).map(({ action, selector, updates }) => {
    if (!selector) throw new SlipwayError('invalid', 'invalid nil selector in policy')
    return {
      action: named(actions, action, 'action'),
      selector: {
        identifier: text(selector.identifier),
        match: named(matchTypes, selector.match_type, 'match type'),
        constraints: (selector.constraints ?? []).map(({ key, value, condition }) => ({
          key: text(key),
          value: text(value),
          condition: named(conditions, condition, 'attr condition'),
        })),
      },
      updates: updates && {
        identifier: text(updates.identifier),
        attrs: Object.fromEntries(Object.entries(updates.attrs ?? {}).map(([key, value]) => [key, text(value)])),
      },
    }
  })

const text = (given: unknown): string => {
  if (given === undefined || typeof given === 'string') return given ?? ''
  throw new SlipwayError('invalid', `source policy: ${JSON.stringify(given)} is not a string`)
}

const named = <T extends string>(names: readonly T[], given: number | string = 0, what: string): T => {
  const name = typeof given === 'number' ? names[given] : names.find((each) => each === given)
  if (name === undefined) throw new SlipwayError('invalid', `source policy: unknown ${what}: ${given}`)
  return name
}

const mostConversions = 20

/** What the source becomes. A source that is denied is 'forbidden'. */
export const judge = (rules: readonly SourceRule[], source: SourceId): SourceId => {
  let found = source
  for (let turn = 0; turn <= mostConversions; turn++) {
    const next = once(rules, found)
    if (!next) return found
    found = next
  }
  throw new SlipwayError('invalid', 'too many mutations on a single source: too many operations', {
    hint: `The rules of the source policy turn ${source.identifier} around in a circle.`,
  })
}

const once = (rules: readonly SourceRule[], source: SourceId): SourceId | undefined => {
  let denied = false
  for (const rule of rules) {
    if (!matches(rule.selector, source)) continue
    if (rule.action !== 'CONVERT') denied = rule.action === 'DENY'
    else {
      const converted = convert(rule, source)
      if (converted) return converted
    }
  }
  if (denied)
    throw new SlipwayError('forbidden', `source "${source.identifier}" denied by policy: source denied by policy`)
  return undefined
}

const matches = ({ identifier, match, constraints }: SourceRule['selector'], source: SourceId): boolean => {
  const holds = constraints.every(({ key, value, condition }) => {
    const own = source.attrs[key] ?? ''
    if (condition === 'MATCHES') return compile(value).test(own)
    return (own === value) === (condition === 'EQUAL')
  })
  if (!holds) return false
  return (
    identifier === source.identifier || (match !== 'EXACT' && expression(identifier, match).test(source.identifier))
  )
}

/** undefined: it is that already. */
const convert = ({ selector, updates }: SourceRule, source: SourceId): SourceId | undefined => {
  if (!updates) throw new SlipwayError('invalid', 'missing destination for convert rule')
  const wanted = updates.identifier || source.identifier
  const identifier = updates.identifier === '' ? wanted : formatted(selector, source.identifier, wanted)
  const attrs = { ...source.attrs, ...updates.attrs }
  const changed = Object.entries(updates.attrs).some(([key, value]) => source.attrs[key] !== value)
  return identifier === source.identifier && !changed ? undefined : { identifier, attrs }
}

const formatted = ({ identifier, match }: SourceRule['selector'], own: string, format: string): string => {
  if (match === 'EXACT') return format
  const found = expression(identifier, match)
  const replaced = (groups: RegExpMatchArray): string => filled(format, groups)
  if (match === 'WILDCARD') {
    const groups = found.exec(own)
    return groups ? replaced(groups) : own
  }
  return [...own.matchAll(new RegExp(found, `${found.flags}g`))].reduceRight(
    (text, groups) => text.slice(0, groups.index) + replaced(groups) + text.slice(groups.index + groups[0].length),
    own,
  )
}

/** Go's Regexp.Expand: $1, ${1}, ${name}; $$ is a dollar sign, and a group that is not there is nothing. */
const filled = (format: string, groups: RegExpMatchArray): string =>
  format.replace(/\$(?:\$|(\w+)|\{(\w+)\})/g, (found, bare: string | undefined, braced: string | undefined) => {
    const name = bare ?? braced
    if (name === undefined) return found === '$$' ? '$' : found
    return (/^\d+$/.test(name) ? groups[Number(name)] : groups.groups?.[name]) ?? ''
  })

const expression = (identifier: string, match: 'WILDCARD' | 'REGEX'): RegExp => {
  if (match === 'REGEX') return compile(identifier)
  if (identifier.includes('**')) throw new SlipwayError('invalid', 'invalid wildcard: "**"')
  return new RegExp(`^${identifier.replace(/[\\^$.+?()[\]{}|]/g, '\\$&').replaceAll('*', '(.*)')}$`)
}

/** Go's syntax as far as it differs: (?P<name>…), and flags for the whole. */
const compile = (text: string): RegExp => {
  const [, flags = '', body = ''] = /^(?:\(\?([ims]+)\))?(.*)$/s.exec(text)!
  try {
    return new RegExp(body.replaceAll('(?P<', '(?<'), flags)
  } catch {
    throw new SlipwayError('invalid', `invalid regex "${text}"`)
  }
}
