/** Reads the tree as text: masks what is not code, and finds imports, exports and functions without a parser. */
import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, normalize } from 'node:path'

export interface Source {
  /** Relative to the root, '/' between the parts. */
  path: string
  text: string
  /** The text with comments and the inside of strings, templates and patterns blanked; same length, same lines. */
  code: string
  lines: number
  imports: Import[]
  exports: Export[]
}

export interface Import {
  /** Path of the imported file, relative to the root; or the name as written ('node:fs', 'yaml'). */
  from: string
  /** Exported names taken; '*' when the whole module is held (namespace, dynamic import, `typeof import`). */
  names: string[]
  typeOnly: boolean
  /** `import * as held` */
  held?: string
  /** Is this `export … from`? Then it uses what it names only where it is used itself. */
  reExport: boolean
}

export interface Export {
  name: string
  isType: boolean
  /** `export { inner as name } from 'from'` */
  forwards?: { from: string; inner: string }
}

interface FunctionSize {
  name: string
  line: number
  lines: number
}

const ignored = new Set(['node_modules', 'dist', '.git', '.slipway'])

/** Every file below `root`, as relative paths. */
export const filesBelow = (root: string, folder = ''): string[] =>
  readdirSync(join(root, folder), { withFileTypes: true }).flatMap((entry) => {
    const path = folder ? `${folder}/${entry.name}` : entry.name
    if (ignored.has(entry.name)) return []
    return entry.isDirectory() ? filesBelow(root, path) : entry.isFile() ? [path] : []
  })

export const readSource = (root: string, path: string): Source => {
  const text = readFileSync(join(root, path), 'utf8')
  const code = mask(text)
  const imports = importsOf(path, text, code)
  const lines = text.split('\n').length - 1
  return { path, text, code, lines, imports, exports: exportsOf(path, text, code) }
}

/** A slash after one of these begins a pattern, otherwise it divides. */
const beforePattern = /(?:^|[(,=:[!&|?{};+\-*%~^<>]|=>|\b(?:return|typeof|case|in|of|await|yield|void|delete))\s*$/

const blank = (text: string): string => text.replace(/[^\n]/g, ' ')

/** Blanks comments, strings, templates (but not the code in their `${}`) and regular expressions. */
export const mask = (text: string): string => {
  let out = ''
  let at = 0
  /** Brace depths at which a template goes on. */
  const templates: number[] = []
  let depth = 0
  const take = (pattern: RegExp): boolean => {
    pattern.lastIndex = at
    const found = pattern.exec(text)
    if (!found) return false
    const [whole] = found
    const quote = /^['"]/.test(whole) ? whole[0]! : ''
    out += quote + blank(quote ? whole.slice(1, -1) : whole) + quote
    at += whole.length
    return true
  }
  const template = (): void => {
    const end = /(?:[^\\`$]|\\[\s\S]|\$(?!\{))*(`|\$\{|$)/y
    end.lastIndex = at
    const [whole, stop] = end.exec(text)!
    out += blank(whole)
    at += whole.length
    if (stop === '${') templates.push(depth)
  }
  while (at < text.length) {
    const c = text[at]!
    if (take(/\/\/[^\n]*|\/\*[\s\S]*?\*\/|'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*"|#![^\n]*/y)) continue
    if (c === '/' && beforePattern.test(out.slice(-40)) && take(/\/(?:[^/\\[\n]|\\.|\[(?:[^\]\\\n]|\\.)*\])+\/[a-z]*/y))
      continue
    at++
    if (c === '`') {
      out += ' '
      template()
    } else if (c === '}' && templates.at(-1) === depth) {
      templates.pop()
      out += ' '
      template()
    } else {
      if (c === '{') depth++
      if (c === '}') depth--
      out += c
    }
  }
  return out
}

/** './b.ts' seen from 'src/a.ts' is 'src/b.ts'. */
const resolve = (path: string, specifier: string): string =>
  specifier.startsWith('.') ? normalize(join(dirname(path), specifier)) : specifier

const statement = /^(import|export)\s+(type\s+)?([^'"();=]*?)\bfrom\s+'/gm
const bareImport = /^import\s+'/gm
const dynamicImport = /\bimport\(\s*'/g
const byUrl = /\bnew URL\(\s*'/g

const stringAt = (text: string, quote: number): string => text.slice(quote + 1, text.indexOf("'", quote + 1))

/** 'a, type b as c' → [{ inner: 'a', outer: 'a' }, { inner: 'b', outer: 'c' }] */
const namesIn = (list: string): { inner: string; outer: string }[] =>
  list
    .split(',')
    .map((part) => part.trim().replace(/^type\s+/, ''))
    .filter((part) => part !== '')
    .map((part) => {
      const [inner, outer] = part.split(/\s+as\s+/)
      return { inner: inner!, outer: outer ?? inner! }
    })

const importsOf = (path: string, text: string, code: string): Import[] => {
  const found: Import[] = []
  for (const match of code.matchAll(statement)) {
    const clause = match[3]!.trim()
    const from = resolve(path, stringAt(text, match.index + match[0].length - 1))
    const braces = /\{([^}]*)\}/.exec(clause)
    const names = namesIn(braces?.[1] ?? '').map(({ inner }) => inner)
    const rest = clause
      .replace(/\{[^}]*\}/, '')
      .replace(/,/g, ' ')
      .trim()
    const held = /^\*\s+as\s+([\w$]+)/.exec(rest)?.[1]
    if (rest.startsWith('*')) names.push('*')
    else if (rest) names.push('default')
    const typeOnly = match[2] !== undefined || (braces !== null && rest === '' && everyIsType(braces[1]!))
    found.push({ from, names, typeOnly, ...(held && { held }), reExport: match[1] === 'export' })
  }
  for (const pattern of [bareImport, dynamicImport, byUrl])
    for (const match of code.matchAll(pattern)) {
      const specifier = stringAt(text, match.index + match[0].length - 1)
      if (pattern === byUrl && !specifier.endsWith('.ts')) continue
      const typeOnly = /typeof\s*$/.test(code.slice(0, match.index))
      found.push({
        from: resolve(path, specifier),
        names: pattern === bareImport ? [] : ['*'],
        typeOnly,
        reExport: false,
      })
    }
  return found
}

const everyIsType = (list: string): boolean =>
  list.split(',').every((part) => part.trim() === '' || part.trim().startsWith('type '))

const declaration =
  /^export\s+(?:declare\s+)?(?:abstract\s+)?(?:async\s+)?(?:const|let|function\*?|class|interface|type)\s+([\w$]+)/gm
const typeDeclaration = /^export\s+(?:interface|type)\s/
const destructured = /^export\s+const\s+\{([^}]*)\}\s*=/gm
const list = /^export\s+(?:type\s+)?\{([^}]*)\}(\s*from\s+')?/gm
const all = /^export\s+(?:type\s+)?\*\s*(?:as\s+([\w$]+)\s+)?from\s+'/gm

const exportsOf = (path: string, text: string, code: string): Export[] => {
  const found: Export[] = [...code.matchAll(declaration)].map((match) => ({
    name: match[1]!,
    isType: typeDeclaration.test(match[0]),
  }))
  for (const match of code.matchAll(destructured))
    found.push(...match[1]!.split(',').map((part) => ({ name: part.split(':').at(-1)!.trim(), isType: false })))
  for (const match of code.matchAll(list)) {
    const from = match[2] && resolve(path, stringAt(text, match.index + match[0].length - 1))
    for (const { inner, outer } of namesIn(match[1]!))
      found.push({ name: outer, isType: false, ...(from && { forwards: { from, inner } }) })
  }
  for (const match of code.matchAll(all))
    found.push({
      name: match[1] ?? '*',
      isType: false,
      forwards: { from: resolve(path, stringAt(text, match.index + match[0].length - 1)), inner: '*' },
    })
  return found
}

const control = /\b(?:if|for|while|switch|catch|with|await)\s*$/
const returnType = /\)\s*:\s*(?:[\w$.<>[\]|&, \n]|=>|'\s*')*\w(?:[\w$.<>[\]|&, \n])*$/

/** Functions with a body in braces, longest first within each other; the size counts from the head's line to the last brace. */
export const functionsIn = (code: string): FunctionSize[] => {
  const open: { head: number; isFunction: boolean }[] = []
  const parens: number[] = []
  const closedBy = new Map<number, number>()
  const found: FunctionSize[] = []
  const lineStarts = [0]
  for (let at = 0; at < code.length; at++) if (code[at] === '\n') lineStarts.push(at + 1)
  const lineOf = (at: number): number => {
    let low = 0
    let high = lineStarts.length
    while (low + 1 < high) {
      const middle = (low + high) >> 1
      if (lineStarts[middle]! <= at) low = middle
      else high = middle
    }
    return low + 1
  }
  for (let at = 0; at < code.length; at++) {
    const c = code[at]
    if (c === '(') parens.push(at)
    else if (c === ')') closedBy.set(at, parens.pop() ?? 0)
    else if (c === '{') open.push(headOf(code, at, closedBy))
    else if (c === '}') {
      const block = open.pop()
      if (!block?.isFunction) continue
      const line = lineOf(block.head)
      found.push({ name: nameAt(code, block.head), line, lines: lineOf(at) - line + 1 })
    }
  }
  return found
}

/** Is the brace at `brace` a function's, and where does that function begin? */
const headOf = (
  code: string,
  brace: number,
  closedBy: ReadonlyMap<number, number>,
): { head: number; isFunction: boolean } => {
  const before = code.slice(Math.max(0, brace - 400), brace)
  const offset = brace - before.length
  const arrow = /=>\s*$/.exec(before)
  const end = arrow ? before.slice(0, arrow.index) : before
  const type = returnType.exec(end)
  const typed = type && /\b(?:class|interface|export|const)\b/.test(type[0]) ? null : type
  const close = typed ? offset + typed.index : /\)\s*$/.test(end) ? offset + end.trimEnd().length - 1 : -1
  const paren = closedBy.get(close)
  if (paren === undefined) return { head: brace, isFunction: arrow !== null }
  return { head: paren, isFunction: arrow !== null || !control.test(code.slice(Math.max(0, paren - 12), paren)) }
}

/** The name on the line where the function begins: `const name = (`, `function name(`, `name: (`, `name(`. */
const nameAt = (code: string, head: number): string => {
  const line = code.slice(code.lastIndexOf('\n', head) + 1, head + 1)
  const named =
    /\b(?:const|let|function\*?)\s+([\w$]+)/.exec(line) ??
    /([\w$#]+)\s*[:=]\s*(?:async\s*)?(?:<[^()]*>)?\($/.exec(line) ??
    /([\w$#]+)\s*(?:<[^()]*>)?\($/.exec(line)
  return named?.[1] ?? '(anonymous)'
}
