/** Lists as docker prints them: tables, JSON lines and Go templates (docker/cli's formatter). */
import {
  builtinNames,
  type Functions,
  parseTemplate,
  renderTemplate,
  Row,
  show,
  TemplateError,
  toJson,
  type Value,
} from '../../../lib/go-template/index.ts'
import { Exit } from '../framework/failure.ts'

/** The kind of thing that is listed. */
export interface Listing<T> {
  /** Go's name of what a template works on: errors show it. */
  type: string
  /** Of each field that can stand in a table. */
  headers: Record<string, string>
  fields: (item: T) => Row['fields']
}

const listOf = (value: Value): string[] => (Array.isArray(value) ? value.map(show) : [])

const functions: Functions = {
  json: (value) => toJson(value),
  split: (text, by) => show(text).split(show(by)),
  join: (items, by) => listOf(items).join(show(by)),
  title: (text) => show(text).replace(/(^|\s)\S/gu, (letter) => letter.toUpperCase()),
  lower: (text) => show(text).toLowerCase(),
  upper: (text) => show(text).toUpperCase(),
  pad: (text, before, after) => {
    const content = show(text)
    return content === '' ? '' : ' '.repeat(Number(before)) + content + ' '.repeat(Number(after))
  },
  truncate: (text, length) => [...show(text)].slice(0, Number(length)).join(''),
}
/** Headers are not cut, padded or encoded. */
const same = (value: Value): Value => value
const headerFunctions: Functions = {
  ...functions,
  json: same,
  title: same,
  lower: same,
  upper: same,
  pad: same,
  truncate: same,
  split: same,
  join: same,
  println: (value) => show(value),
}

const failure = (what: string, error: unknown): unknown =>
  error instanceof TemplateError ? new Exit(1, `${what}: ${error.message}`) : error

const read = (source: string, what: string) => {
  try {
    return parseTemplate(source, [...builtinNames, ...Object.keys(functions)])
  } catch (error) {
    throw failure(what, error)
  }
}

/** Applies a template to one value. `missing`: what a key that is not there is. */
export const fill = (source: string, data: Value, missing: 'error' | 'no value' = 'no value'): string => {
  const template = read(source, 'failed to parse template')
  return renderTemplate(template, data, { functions, missing })
}

/** The same, where an error of the template ends the command. */
export const fillLine = (source: string, data: Value): string => {
  try {
    return fill(source, data)
  } catch (error) {
    throw failure('failed to execute template', error)
  }
}

/** Ends the command when the template cannot be read. */
export const readable = (source: string, what = 'template parsing error'): void => {
  try {
    parseTemplate(source, [...builtinNames, ...Object.keys(functions)])
  } catch (error) {
    throw error instanceof TemplateError ? new Exit(64, `${what}: ${error.message}`) : error
  }
}

export interface Format {
  /** What --format said, '' for nothing. */
  given: string
  /** The template of the table that is shown otherwise. */
  table: string
  quiet?: boolean
  /** What `quiet` shows. */
  id?: string
  /** What --format raw means. */
  raw?: string
}

const isTable = (format: string): boolean => /^table(?:\s|$)/.test(format)

const templateOf = ({
  given,
  table,
  raw,
  quiet = false,
  id = '{{.ID}}',
}: Format): { source: string; titled: boolean } => {
  if (given === '' || given === 'table')
    return quiet ? { source: id, titled: false } : { source: table.replace(/^table\s+/, ''), titled: true }
  if (given === 'raw' && raw !== undefined) return { source: raw, titled: false }
  if (given === 'json') return { source: '{{json .}}', titled: false }
  if (quiet) return { source: id, titled: false }
  return { source: given.replace(/^table\s+/, ''), titled: isTable(given) }
}

/** The text, with a newline at its end unless it is empty. */
export const formatList = <T>(listing: Listing<T>, items: readonly T[], format: Format): string => {
  const { source, titled } = templateOf(format)
  const template = read(source.replaceAll('\\t', '\t').replaceAll('\\n', '\n'), 'failed to parse template')
  const lines = items.map((item) => {
    try {
      return renderTemplate(template, new Row(listing.type, listing.fields(item)), { functions })
    } catch (error) {
      throw failure('failed to execute template', error)
    }
  })
  if (!titled) return lines.map((line) => `${line}\n`).join('')
  const header = renderTemplate(template, headerRow(listing), { functions: headerFunctions })
  return `${alignTabs([header, ...lines].join('\n'))}\n`
}

const headerRow = ({ headers, type }: Listing<never>): Row => {
  const fields: Row['fields'] = { Label: () => (name) => title(show(name)) }
  for (const [name, text] of Object.entries(headers)) fields[name] = () => text
  return new Row(type, fields)
}
/** A label's header is the last part of its name. */
const title = (name: string): string => name.split('.').at(-1)!.replaceAll(/[-_]/g, ' ')

/** Cells end with tabs and are aligned with those above and below: Go's text/tabwriter with docker's widths. */
export const alignTabs = (text: string, least = 10, padding = 3): string => {
  const rows = text.split('\n').map((line) => line.split('\t'))
  const widths: number[][] = rows.map(() => [])
  const lengthOf = (cell: string): number => [...cell].length
  rows.forEach((row, y) => {
    for (let x = 0; x < row.length - 1; x++) {
      if (widths[y]![x] !== undefined) continue
      // A column is all cells of one place in lines that follow each other.
      let end = y
      while (end < rows.length && x < rows[end]!.length - 1) end++
      const longest = Math.max(...rows.slice(y, end).map((r) => lengthOf(r[x]!)))
      const width = Math.max(least, longest + padding)
      for (let at = y; at < end; at++) widths[at]![x] = width
    }
  })
  return rows
    .map((row, y) =>
      row.map((cell, x) => (x === row.length - 1 ? cell : cell + ' '.repeat(widths[y]![x]! - lengthOf(cell)))).join(''),
    )
    .join('\n')
}
