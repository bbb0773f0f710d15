/**
 * What a Dockerfile says of itself, for `--call check|outline|targets`: JSON forms are those of moby/buildkit
 * frontend/subrequests, texts what its clients print.
 */
import type { SlipwayError } from '../../errors.ts'
import type { Description, Question } from '../types.ts'

export interface Answer {
  json: object
  text: string
  /** A check that found something. */
  failed: boolean
}

/** `target`: the one that was asked about. */
export const answerOf = (found: Description, what: Question, target: string | undefined): Answer => {
  if (what === 'targets') return { json: targets(found), text: targetsText(found), failed: false }
  if (what === 'outline') return { json: outline(found, target), text: outlineText(found, target), failed: false }
  const failed = found.warnings.length > 0 || found.error !== undefined
  return { json: lint(found), text: lintText(found), failed }
}

const location = (line: number, end = line) => ({
  sourceIndex: 0,
  ranges: [{ start: { line }, end: { line: Math.max(line, end) } }],
})
const base64 = ({ text }: Description): string => Buffer.from(text).toString('base64')
const located = <T extends { line: number }>({ line, ...rest }: T) => ({ ...filled(rest), location: location(line) })
/** As Go writes structures: without what is empty. */
const filled = (value: object) => Object.fromEntries(Object.entries(value).filter(([, each]) => Boolean(each)))

const targets = (found: Description): object => ({ targets: found.targets.map(located), sources: [base64(found)] })

const chosenOf = (found: Description, target: string | undefined) =>
  found.targets.find(target ? ({ name }) => name === target.toLowerCase() : (each) => each.default)

const outline = (found: Description, target: string | undefined): object => {
  const chosen = chosenOf(found, target)
  return {
    ...filled({ name: chosen?.name, description: chosen?.description }),
    ...Object.fromEntries(
      Object.entries({
        args: found.args.map(located),
        secrets: found.secrets.map(located),
        ssh: found.ssh.map(located),
        cache: found.caches.map(({ id, line }) => ({ ID: id, location: location(line) })),
      }).filter(([, list]) => list.length > 0),
    ),
    sources: [base64(found)],
  }
}

const lint = (found: Description): object => ({
  warnings: found.warnings.map(({ rule, description, message, url, at, endLine }) => ({
    ...filled({ ruleName: rule, description, url, detail: message }),
    location: location(at.line ?? 1, endLine),
  })),
  sources: [{ filename: found.file, data: base64(found), language: 'Dockerfile' }],
  ...(found.error ? { buildError: { message: found.error.message, location: placeOf(found.error) } } : {}),
})
const placeOf = ({ at }: SlipwayError): object => (at?.line === undefined ? {} : location(at.line))

/** `gap`: blanks between columns. */
const columns = (gap: number, head: string[], rows: string[][]): string => {
  const all = [head, ...rows]
  const widths = head.map((_, i) => Math.max(...all.map((row) => row[i]!.length)))
  return all
    .map((row) =>
      row
        .map((cell, i) => cell.padEnd(widths[i]! + gap))
        .join('')
        .trimEnd(),
    )
    .map((line) => `${line}\n`)
    .join('')
}

const targetsText = (found: Description): string =>
  columns(
    1,
    ['TARGET', 'DESCRIPTION'],
    found.targets.map(({ name, default: isDefault, description }) => [
      isDefault ? `${name} (default)`.trimStart() : name,
      description,
    ]),
  )

/** Tables, each with an empty line behind it. */
const outlineText = (found: Description, target: string | undefined): string => {
  const { name = '', description = '' } = chosenOf(found, target) ?? {}
  const head =
    name === '' ? '' : columns(1, ['TARGET:', name], description === '' ? [] : [['DESCRIPTION:', description]])
  const table = (title: string[], rows: string[][]): string => (rows.length === 0 ? '' : columns(3, title, rows))
  const parts = [
    head,
    table(
      ['BUILD ARG', 'VALUE', 'DESCRIPTION'],
      found.args.map((arg) => [arg.name, arg.value ?? '', arg.description]),
    ),
    table(
      ['SECRET', 'REQUIRED'],
      found.secrets.map((secret) => [secret.name, secret.required ? 'true' : '']),
    ),
    table(
      ['SSH', 'REQUIRED'],
      found.ssh.map((agent) => [agent.name, agent.required ? 'true' : '']),
    ),
  ]
  return parts
    .filter((part) => part !== '')
    .map((part) => `${part}\n`)
    .join('')
}

const lintText = (found: Description): string => {
  const warnings = found.warnings
    .toSorted((a, b) => (a.at.line ?? 0) - (b.at.line ?? 0))
    .map(({ rule, url, message, source }) => `\nWARNING: ${rule}${url && ` - ${url}`}\n${message}\n${source}\n`)
  const { error } = found
  const source = (error?.details as { source?: string } | undefined)?.source
  return warnings.join('') + (error ? `\nERROR: ${error.message}\n${source === undefined ? '' : `${source}\n`}` : '')
}
