/** Runs a template on a value. Errors read as Go's: `template: :1:2: executing "" at <.Foo>: …`. */
import { builtins, rowField } from './functions.ts'
import { lineOf, TemplateError } from './lexer.ts'
import type { Node, Operand, Pipe, Template } from './parser.ts'
import { Absent, type GoMap, isMap, plain, Row, show, truth, type Value } from './values.ts'

export { TemplateError } from './lexer.ts'
export type Functions = Record<string, (...args: Value[]) => Value>
/** Names that a template may use besides those it is given. */
export const builtinNames: readonly string[] = ['and', 'or', 'not', ...Object.keys(builtins)]

class Break extends Error {}
class Continue extends Error {}

/** `missing`: what a key that a map does not have is. */
export const renderTemplate = (
  template: Template,
  data: Value,
  options: { functions?: Functions; missing?: 'error' | 'no value' } = {},
): string => new Run(template, data, options).output()

class Run {
  readonly #template: Template
  readonly #functions: Functions
  readonly #strict: boolean
  readonly #data: Value
  #variables: [string, Value][]
  #output = ''
  #depth = 0

  constructor(template: Template, data: Value, options: { functions?: Functions; missing?: 'error' | 'no value' }) {
    this.#template = template
    this.#functions = { ...builtins, ...options.functions }
    this.#strict = options.missing === 'error'
    this.#data = data
    this.#variables = [['$', data]]
  }

  output(): string {
    this.#walk(this.#template.nodes, this.#data)
    return this.#output
  }

  #failure(at: number, context: string, message: string): TemplateError {
    const { source } = this.#template
    const column = at - (source.lastIndexOf('\n', at - 1) + 1)
    return new TemplateError(`template: :${lineOf(source, at)}:${column}: executing "" at <${context}>: ${message}`)
  }

  #walk(nodes: readonly Node[], dot: Value): void {
    for (const node of nodes)
      switch (node.kind) {
        case 'text':
          this.#output += node.text
          break
        case 'action': {
          const value = this.#pipe(node.pipe, dot)
          if (node.pipe.variables.length === 0) this.#output += show(value)
          break
        }
        case 'if':
        case 'with':
          this.#scoped(() => {
            const value = this.#pipe(node.pipe, dot)
            this.#walk(truth(value) ? node.body : node.otherwise, node.kind === 'with' && truth(value) ? value : dot)
          })
          break
        case 'range':
          this.#scoped(() => this.#range(node, dot))
          break
        case 'template':
          this.#include(node, dot)
          break
        case 'break':
          throw new Break()
        case 'continue':
          throw new Continue()
      }
  }

  #scoped(work: () => void): void {
    const length = this.#variables.length
    work()
    this.#variables.length = length
  }

  #include(node: Extract<Node, { kind: 'template' }>, dot: Value): void {
    const body = this.#template.defined.get(node.name)
    const context = `{{template ${JSON.stringify(node.name)}}}`
    if (!body) throw this.#failure(node.at, context, `template ${JSON.stringify(node.name)} not defined`)
    if (++this.#depth > 1000) throw this.#failure(node.at, context, 'exceeded maximum template depth (100000)')
    const data = node.pipe ? this.#pipe(node.pipe, dot) : null
    const variables = this.#variables
    this.#variables = [['$', data]]
    this.#walk(body, data)
    this.#variables = variables
    this.#depth--
  }

  #range({ pipe, body, otherwise }: Extract<Node, { kind: 'if' | 'with' | 'range' }>, dot: Value): void {
    const value = plain(this.#commands(pipe, dot))
    const entries = this.#entries(value, pipe)
    if (entries.length === 0) this.#walk(otherwise, dot)
    for (const [key, element] of entries) {
      const length = this.#variables.length
      const [first, second] = pipe.variables
      if (second !== undefined) this.#assign(pipe, first!, key)
      if (first !== undefined) this.#assign(pipe, second ?? first, element)
      try {
        this.#walk(body, element)
      } catch (error) {
        if (error instanceof Break) return
        if (!(error instanceof Continue)) throw error
      } finally {
        this.#variables.length = length
      }
    }
  }

  #entries(value: Value, pipe: Pipe): [Value, Value][] {
    if (Array.isArray(value)) return value.map((each, i) => [i, each])
    if (isMap(value))
      return Object.keys(value)
        .sort()
        .map((key) => [key, value[key]])
    if (typeof value === 'number') return Array.from({ length: value }, (_, i): [Value, Value] => [i, i])
    if (value === null || value === undefined || value === '') return []
    throw this.#failure(pipe.at, pipeText(this.#template.source, pipe), `range can't iterate over ${show(value)}`)
  }

  #assign(pipe: Pipe, name: string, value: Value): void {
    if (pipe.declares) {
      this.#variables.push([name, value])
      return
    }
    const found = this.#variables.findLast(([each]) => each === name)
    if (found) found[1] = value
  }

  #pipe(pipe: Pipe, dot: Value): Value {
    const value = this.#commands(pipe, dot)
    for (const name of pipe.variables) this.#assign(pipe, name, value)
    return value
  }

  #commands(pipe: Pipe, dot: Value): Value {
    let value: Value
    let given: [Value] | [] = []
    for (const { operands } of pipe.commands) {
      const [first, ...rest] = operands
      value = this.#call(first!, rest, given, dot)
      given = [value]
    }
    return value
  }

  /** The first operand may take the rest, and the value of the command before, as arguments. */
  #call(first: Operand, rest: readonly Operand[], given: [Value] | [], dot: Value): Value {
    const args = (): Value[] => [...rest.map((each) => this.#operand(each, dot)), ...given]
    if (first.kind === 'function') return this.#function(first, rest, given, dot)
    if (first.kind === 'field') return this.#fields(dot, first.path, first.at, `.${first.path.join('.')}`, args)
    if (rest.length + given.length > 0 && !('path' in first && first.path.length > 0))
      throw this.#failure(
        'at' in first ? first.at : 0,
        first.kind === 'constant' ? first.text : first.kind === 'dot' ? '.' : first.kind,
        `can't give argument to non-function ${first.kind === 'constant' ? first.text : '.'}`,
      )
    return this.#operand(first, dot, args)
  }

  #operand(operand: Operand, dot: Value, args: () => Value[] = () => []): Value {
    switch (operand.kind) {
      case 'dot':
        return dot
      case 'nil':
        return null
      case 'constant':
        return operand.value
      case 'field':
        return this.#fields(dot, operand.path, operand.at, `.${operand.path.join('.')}`, args)
      case 'variable': {
        const value = this.#variables.findLast(([name]) => name === operand.name)?.[1]
        return this.#fields(value, operand.path, operand.at, [operand.name, ...operand.path].join('.'), args)
      }
      case 'pipe': {
        const value = this.#pipe(operand.pipe, dot)
        const text = `(${pipeText(this.#template.source, operand.pipe)}).${operand.path.join('.')}`
        return this.#fields(value, operand.path, operand.at, text, args)
      }
      case 'function':
        return this.#function(operand, [], [], dot)
    }
  }

  #function(
    { name, at }: Extract<Operand, { kind: 'function' }>,
    rest: readonly Operand[],
    given: [Value] | [],
    dot: Value,
  ): Value {
    if (name === 'and' || name === 'or') {
      let value: Value
      for (const each of rest) {
        value = this.#operand(each, dot)
        if (truth(value) === (name === 'or')) return value
      }
      return given.length > 0 ? given[0] : value
    }
    const args = [...rest.map((each) => this.#operand(each, dot)), ...given]
    if (name === 'not') return !truth(args[0])
    try {
      return this.#functions[name]!(...args)
    } catch (error) {
      if (error instanceof TemplateError || error instanceof Break || error instanceof Continue) throw error
      const context = commandText(this.#template.source, at)
      throw this.#failure(at, context, `error calling ${name}: ${(error as Error).message}`)
    }
  }

  #fields(from: Value, path: readonly string[], at: number, context: string, args: () => Value[]): Value {
    let value = from
    path.forEach((name, i) => {
      value = this.#field(value, name, i === path.length - 1 ? args : () => [], { at, context, path, i })
    })
    return value
  }

  #field(
    receiver: Value,
    name: string,
    args: () => Value[],
    { at, context, path, i }: { at: number; context: string; path: readonly string[]; i: number },
  ): Value {
    if (receiver instanceof Row) {
      const field = rowField(receiver, name)
      if (typeof field === 'function') return field(...args())
      if (Object.hasOwn(receiver.fields, name)) return field
      throw this.#failure(at, context, `can't evaluate field ${name} in type *${receiver.type}`)
    }
    if (receiver instanceof Absent)
      throw this.#failure(at, context, `map has no entry for key "${path[i - 1] ?? name}"`)
    if (isMap(receiver)) return this.#entry(receiver, name, at, context)
    if (receiver === null || receiver === undefined) {
      if (!this.#strict) throw this.#failure(at, context, `nil pointer evaluating interface {}.${name}`)
      throw this.#failure(at, context, `nil data; no entry for key "${name}"`)
    }
    throw this.#failure(at, context, `can't evaluate field ${name} in type ${typeOf(receiver)}`)
  }

  #entry(map: GoMap, name: string, at: number, context: string): Value {
    if (Object.hasOwn(map, name)) return map[name]
    if (this.#strict) throw this.#failure(at, context, `map has no entry for key "${name}"`)
    return undefined
  }
}

const typeOf = (value: Value): string => {
  if (Array.isArray(value)) return '[]interface {}'
  return typeof value === 'boolean' ? 'bool' : typeof value === 'number' ? 'json.Number' : 'string'
}

const pipeText = (source: string, pipe: Pipe): string => commandText(source, pipe.at)

/** Up to the end of the action. */
const commandText = (source: string, at: number): string => {
  const rest = source.slice(at)
  const end = /\s*-?\}\}|\|/.exec(rest)
  return rest.slice(0, end?.index ?? rest.length).trim()
}
