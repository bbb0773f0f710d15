/**
 * `${VARIABLE}` substitution. Values only, never keys; once per file, before merging. `$$` is a dollar; `$1`, `$(` and a
 * trailing `$` stay as they are. Rules as compose-go's template package: the earliest operator of a braced expression wins
 * and what follows it is only looked at when needed.
 */
import type { SourcePosition } from '../../errors.ts'
import type { Node } from './node.ts'
import type { Problem } from './problem.ts'

export type Lookup = (name: string) => string | undefined

/** A template that cannot be read (`invalid`) or a variable that had to be set and is not (`required`). */
export class TemplateError extends Error {
  readonly kind: 'invalid' | 'required'
  constructor(kind: 'invalid' | 'required', message: string) {
    super(message)
    this.kind = kind
  }
}

const nameAt = /[_a-zA-Z][_a-zA-Z0-9]*/y
const operators = [':-', ':?', ':+', '-', '?', '+'] as const

const matchName = (text: string, at: number): string | undefined => {
  nameAt.lastIndex = at
  return nameAt.exec(text)?.[0]
}

/** Index just after the brace that closes the one before `from`; -1 when it never closes. */
const closing = (text: string, from: number): number => {
  let depth = 1
  for (let i = from; i < text.length; i++) {
    if (text[i] === '$' && text[i + 1] === '$') i++
    else if (text[i] === '$' && text[i + 1] === '{') {
      depth++
      i++
    } else if (text[i] === '}' && --depth === 0) return i + 1
  }
  return -1
}

/** Throws TemplateError. `unset` is told of every variable without a value or default. */
export const substitute = (template: string, lookup: Lookup, unset: (name: string) => void = () => {}): string => {
  const invalid = (): TemplateError =>
    new TemplateError(
      'invalid',
      `invalid interpolation format: "${template}". You may need to escape any $ with another $`,
    )
  let result = ''
  for (let i = 0; i < template.length; ) {
    if (template[i] !== '$') {
      const next = template.indexOf('$', i)
      result += template.slice(i, next === -1 ? undefined : next)
      if (next === -1) break
      i = next
      continue
    }
    const after = template[i + 1]
    if (after === '$') {
      result += '$'
      i += 2
    } else if (after === '{') {
      const end = closing(template, i + 2)
      if (end === -1) throw invalid()
      const value = braced(template.slice(i + 2, end - 1), lookup, unset)
      if (value === undefined) throw invalid()
      result += value
      i = end
    } else {
      const name = matchName(template, i + 1)
      if (name === undefined) {
        result += '$'
        i++
        continue
      }
      result += valueOr(name, lookup, unset)
      i += 1 + name.length
    }
  }
  return result
}

const valueOr = (name: string, lookup: Lookup, unset: (name: string) => void): string => {
  const value = lookup(name)
  if (value === undefined) unset(name)
  return value ?? ''
}

const braced = (inside: string, lookup: Lookup, unset: (name: string) => void): string | undefined => {
  const name = matchName(inside, 0)
  if (name === undefined) return undefined
  const rest = inside.slice(name.length)
  if (rest === '') return valueOr(name, lookup, unset)
  const operator = operators.find((o) => rest.startsWith(o))
  if (!operator) return undefined
  const operand = (): string => substitute(rest.slice(operator.length), lookup, unset)
  const value = lookup(name)
  const present = operator.startsWith(':') ? value !== undefined && value !== '' : value !== undefined
  if (operator.endsWith('-')) return present ? value! : operand()
  if (operator.endsWith('+')) return present ? operand() : ''
  if (present) return value!
  throw new TemplateError('required', `required variable ${name} is missing a value: ${operand()}`)
}

/** Every scalar string of the tree, substituted. */
export const interpolate = (
  tree: Node,
  lookup: Lookup,
  problem: Problem,
  warn: (name: string, at: SourcePosition) => void,
): Node => {
  const visit = (node: Node, path: string): Node => {
    if (node.kind === 'map')
      return { ...node, entries: new Map([...node.entries].map(([k, v]) => [k, visit(v, path ? `${path}.${k}` : k)])) }
    if (node.kind === 'list') return { ...node, items: node.items.map((item, i) => visit(item, `${path}[${i}]`)) }
    if (typeof node.value !== 'string' || !node.value.includes('$')) return node
    try {
      return { ...node, value: substitute(node.value, lookup, (name) => warn(name, node.at)) }
    } catch (error) {
      if (!(error instanceof TemplateError)) throw error
      const message =
        error.kind === 'required'
          ? `error while interpolating ${path}: ${error.message}`
          : `${error.message.replace('format:', `format for ${path}.`)}`
      throw problem(
        node.at,
        message,
        error.kind === 'required' ? 'Set it in the environment, in .env or with --env-file.' : undefined,
      )
    }
  }
  return visit(tree, '')
}

/** Names a template mentions, with the default it gives: for `config --variables`. */
export const variablesIn = (
  template: string,
): { name: string; default?: string; alternate?: string; required: boolean }[] => {
  const found: { name: string; default?: string; alternate?: string; required: boolean }[] = []
  for (let i = template.indexOf('$'); i !== -1 && i < template.length; i = template.indexOf('$', i)) {
    if (template[i + 1] === '$') {
      i += 2
      continue
    }
    const isBraced = template[i + 1] === '{'
    const name = matchName(template, i + (isBraced ? 2 : 1))
    if (name === undefined) {
      i++
      continue
    }
    const end = isBraced ? closing(template, i + 2) : i + 1 + name.length
    const rest = isBraced ? template.slice(i + 2 + name.length, (end === -1 ? template.length : end) - 1) : ''
    const operator = operators.find((o) => rest.startsWith(o))
    const operand = operator && rest.slice(operator.length)
    found.push({
      name,
      required: operator?.endsWith('?') ?? false,
      ...(operator?.endsWith('-') && operand !== undefined && { default: operand }),
      ...(operator?.endsWith('+') && operand !== undefined && { alternate: operand }),
    })
    if (operand) found.push(...variablesIn(operand))
    i = end === -1 ? template.length : end
  }
  return found
}
