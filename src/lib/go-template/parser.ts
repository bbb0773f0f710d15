/** Go's text/template as a tree: https://pkg.go.dev/text/template. */
import { lex, parseFailure, type Token } from './lexer.ts'

export type Operand =
  | { kind: 'dot' | 'nil' }
  | { kind: 'constant'; value: string | number | boolean; text: string }
  | { kind: 'field'; path: string[]; at: number }
  | { kind: 'variable'; name: string; path: string[]; at: number }
  | { kind: 'function'; name: string; at: number }
  | { kind: 'pipe'; pipe: Pipe; path: string[]; at: number }
interface Command {
  operands: Operand[]
  at: number
}
export interface Pipe {
  /** `$x :=` or `$x =`; a range may declare two. */
  variables: string[]
  declares: boolean
  commands: Command[]
  at: number
}
export type Node =
  | { kind: 'text'; text: string }
  | { kind: 'action'; pipe: Pipe }
  | { kind: 'if' | 'with' | 'range'; pipe: Pipe; body: Node[]; otherwise: Node[] }
  | { kind: 'template'; name: string; pipe: Pipe | undefined; at: number }
  | { kind: 'break' | 'continue' }
export interface Template {
  source: string
  nodes: Node[]
  defined: ReadonlyMap<string, Node[]>
}

/** Functions are known by name when a template is read. Throws TemplateError. */
export const parseTemplate = (source: string, functions: readonly string[]): Template => {
  const parser = new Parser(source, new Set(functions))
  const { nodes, end } = parser.list()
  if (end.text !== '') throw parser.failure(end.at, `unexpected {{${end.text}}}`)
  return { source, nodes, defined: parser.defined }
}

const endings = ['end', 'else']

class Parser {
  readonly defined = new Map<string, Node[]>()
  readonly #source: string
  readonly #functions: Set<string>
  readonly #tokens: Token[]
  #next = 0
  #variables: string[] = ['$']

  constructor(source: string, functions: Set<string>) {
    this.#source = source
    this.#functions = functions
    this.#tokens = lex(source)
  }

  failure(at: number, message: string): Error {
    return parseFailure(this.#source, at, message)
  }

  #peek(): Token {
    return this.#tokens[this.#next]!
  }
  #take(): Token {
    return this.#tokens[this.#next++]!
  }
  #skip(): Token {
    while (this.#peek().kind === 'space') this.#next++
    return this.#peek()
  }

  /** Nodes up to the end, {{end}} or {{else…}}, whose word is left to be read on. */
  list(): { nodes: Node[]; end: Token } {
    const nodes: Node[] = []
    for (;;) {
      const token = this.#take()
      if (token.kind === 'end') return { nodes, end: { ...token, text: '' } }
      if (token.kind === 'text') {
        nodes.push({ kind: 'text', text: token.text })
        continue
      }
      const first = this.#skip()
      if (first.kind === 'word' && endings.includes(first.text)) {
        this.#take()
        return { nodes, end: first }
      }
      const node = this.#action(first)
      if (node) nodes.push(node)
    }
  }

  #action(first: Token): Node | undefined {
    const word = first.kind === 'word' ? first.text : ''
    switch (word) {
      case 'if':
      case 'with':
      case 'range':
        this.#take()
        return this.#control(word)
      case 'define':
        this.#take()
        this.#define()
        return undefined
      case 'block':
        this.#take()
        return this.#block(first.at)
      case 'template':
        this.#take()
        return this.#call(first.at)
      case 'break':
      case 'continue':
        this.#take()
        this.#close(`{{${word}}}`)
        return { kind: word }
      default:
        return { kind: 'action', pipe: this.#pipe('command', 'close') }
    }
  }

  #close(where: string): void {
    const token = this.#skip()
    if (token.kind !== 'close') throw this.failure(token.at, `unexpected ${shown(token)} in ${where}`)
    this.#take()
  }

  #control(kind: 'if' | 'with' | 'range'): Node {
    const scope = this.#variables.length
    const pipe = this.#pipe(kind, 'close')
    const { nodes: body, end } = this.list()
    let otherwise: Node[] = []
    if (end.text === 'else') otherwise = this.#otherwise(kind)
    else if (end.text === 'end') this.#close('end')
    else throw this.failure(end.at, 'unexpected EOF')
    this.#variables.length = scope
    return { kind, pipe, body, otherwise }
  }

  #otherwise(kind: 'if' | 'with' | 'range'): Node[] {
    const next = this.#skip()
    // {{else if …}} is an if of its own that shares the {{end}}.
    if (next.kind === 'word' && next.text === kind && kind !== 'range') {
      this.#take()
      return [this.#control(kind)]
    }
    this.#close('else')
    const { nodes, end } = this.list()
    if (end.text === 'else') throw this.failure(end.at, 'expected end; found {{else}}')
    if (end.text !== 'end') throw this.failure(end.at, 'unexpected EOF')
    this.#close('end')
    return nodes
  }

  #name(where: string): string {
    const token = this.#skip()
    if (token.kind !== 'string') throw this.failure(token.at, `unexpected ${shown(token)} in ${where}`)
    this.#take()
    return unquote(token.text)
  }

  #body(): Node[] {
    const variables = this.#variables
    this.#variables = ['$']
    const { nodes, end } = this.list()
    if (end.text !== 'end')
      throw this.failure(end.at, end.text === '' ? 'unexpected EOF' : `unexpected {{${end.text}}}`)
    this.#close('end')
    this.#variables = variables
    return nodes
  }

  #define(): void {
    const name = this.#name('define clause')
    this.#close('define clause')
    this.defined.set(name, this.#body())
  }

  #block(at: number): Node {
    const name = this.#name('block clause')
    const pipe = this.#pipe('block clause', 'close')
    this.defined.set(name, this.#body())
    return { kind: 'template', name, pipe, at }
  }

  #call(at: number): Node {
    const name = this.#name('template clause')
    if (this.#skip().kind === 'close') {
      this.#take()
      return { kind: 'template', name, pipe: undefined, at }
    }
    return { kind: 'template', name, pipe: this.#pipe('template clause', 'close'), at }
  }

  #pipe(where: string, until: 'close' | ')'): Pipe {
    const { at } = this.#skip()
    const { variables, declares } = this.#declarations(where)
    const commands: Command[] = []
    for (;;) {
      const token = this.#skip()
      const ends = until === 'close' ? token.kind === 'close' : token.text === ')'
      if (ends) {
        if (commands.length === 0) throw this.failure(token.at, `missing value for ${where}`)
        this.#take()
        this.#variables.push(...(declares ? variables : []))
        return { variables, declares, commands, at }
      }
      commands.push(this.#command())
    }
  }

  #declarations(where: string): { variables: string[]; declares: boolean } {
    const begin = this.#next
    const variables: string[] = []
    while (this.#skip().kind === 'variable') {
      variables.push(this.#take().text)
      const after = this.#skip()
      if (after.text === ':=' || after.text === '=') {
        this.#take()
        return { variables, declares: after.text === ':=' }
      }
      if (after.text !== ',' || where !== 'range') break
      this.#take()
    }
    this.#next = begin
    return { variables: [], declares: false }
  }

  #command(): Command {
    const { at } = this.#skip()
    const operands: Operand[] = []
    for (;;) {
      this.#skip()
      const operand = this.#operand()
      if (operand) operands.push(operand)
      const token = this.#peek()
      if (token.kind === 'space') continue
      if (token.text === '|') {
        this.#take()
        const next = this.#skip()
        if (next.kind === 'close' || next.text === ')') throw this.failure(next.at, 'missing value for command')
      } else if (token.kind !== 'close' && token.text !== ')')
        throw this.failure(token.at, `unexpected ${shown(token)} in operand`)
      if (operands.length === 0) throw this.failure(token.at, 'empty command')
      return { operands, at }
    }
  }

  #operand(): Operand | undefined {
    const operand = this.#term()
    if (!operand) return undefined
    // Fields that follow join the operand; Go's errors show where the second begins.
    const { at } = this.#peek()
    const path: string[] = []
    while (this.#peek().kind === 'field') path.push(this.#take().text.slice(1))
    if (path.length === 0) return operand
    if (operand.kind === 'field' || operand.kind === 'variable' || operand.kind === 'pipe')
      return { ...operand, path: [...operand.path, ...path], at }
    throw this.failure(
      at,
      `unexpected . after term ${JSON.stringify(operand.kind === 'function' ? operand.name : operand.kind)}`,
    )
  }

  #term(): Operand | undefined {
    const token = this.#peek()
    const { text, at, kind } = token
    if (kind === 'field') return this.#taken({ kind: 'field', path: [text.slice(1)], at })
    if (text === '.') return this.#taken({ kind: 'dot' })
    if (text === '(') {
      this.#take()
      return { kind: 'pipe', pipe: this.#pipe('parenthesized pipeline', ')'), path: [], at }
    }
    if (kind === 'variable') {
      if (!this.#variables.includes(text)) throw this.failure(at, `undefined variable "${text}"`)
      return this.#taken({ kind: 'variable', name: text, path: [], at })
    }
    if (kind === 'word') return this.#word(token)
    if (kind === 'string') return this.#taken({ kind: 'constant', value: unquote(text), text })
    if (kind === 'char') return this.#taken({ kind: 'constant', value: unquote(text).codePointAt(0) ?? 0, text })
    if (kind === 'number') return this.#taken({ kind: 'constant', value: Number(text.replaceAll('_', '')), text })
    return undefined
  }

  #word({ text, at }: Token): Operand {
    if (text === 'true' || text === 'false') return this.#taken({ kind: 'constant', value: text === 'true', text })
    if (text === 'nil') return this.#taken({ kind: 'nil' })
    if (!this.#functions.has(text)) throw this.failure(at, `function "${text}" not defined`)
    return this.#taken({ kind: 'function', name: text, at })
  }

  #taken<T>(operand: T): T {
    this.#take()
    return operand
  }
}

const shown = ({ kind, text }: Token): string =>
  kind === 'end' ? 'EOF' : kind === 'word' && text.length <= 10 ? `<${text}>` : `"${text}"`

const escapes: Record<string, string> = { a: '\u0007', b: '\b', f: '\f', n: '\n', r: '\r', t: '\t', v: '\v' }

const unquote = (text: string): string => {
  if (text.startsWith('`')) return text.slice(1, -1).replaceAll('\r', '')
  return text
    .slice(1, -1)
    .replace(/\\(x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|[0-7]{3}|.)/g, (_, given: string) => {
      if (/^[xuU]./.test(given)) return String.fromCodePoint(Number.parseInt(given.slice(1), 16))
      if (/^[0-7]{3}$/.test(given)) return String.fromCodePoint(Number.parseInt(given, 8))
      return escapes[given] ?? given
    })
}
