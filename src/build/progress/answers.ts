/**
 * What a Dockerfile says of itself, for `--call check|outline|targets`: JSON forms are those of moby/buildkit
 * frontend/subrequests, texts what its clients print.
 */
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
const located = <T extends { line: number }>({ line, ...rest }: T) => ({ ...rest, location: location(line) })

const targets = (found: Description): object => ({ targets: found.targets.map(located), sources: [base64(found)] })

const chosenOf = (found: Description, target: string | undefined) =>
  found.targets.find(target ? ({ name }) => name === target.toLowerCase() : (each) => each.default)

const outline = (found: Description, target: string | undefined): object => {
  const chosen = chosenOf(found, target)
  return {
    name: chosen?.name,
    description: chosen?.description,
    args: found.args.map(located),
    secrets: found.secrets.map(located),
    ssh: found.ssh.map(located),
    cache: found.caches.map(({ id, line }) => ({ ID: id, location: location(line) })),
    sources: [base64(found)],
  }
}

const lint = (found: Description): object => ({
  warnings: found.warnings.map(({ rule, description, message, url, at, endLine }) => ({
    ...{ ruleName: rule, description, url, detail: message, location: location(at.line ?? 1, endLine) },
  })),
  sources: [{ fileName: found.file, language: 'Dockerfile', definition: null, data: base64(found) }],
  ...(found.error
    ? { buildError: { message: found.error.message, location: location(found.error.at?.line ?? 1) } }
    : {}),
})

const columns = (head: string[], rows: string[][]): string => {
  if (rows.length === 0) return ''
  const all = [head, ...rows]
  const widths = head.map((_, i) => Math.max(...all.map((row) => row[i]!.length)))
  return `${all
    .map((row) =>
      row
        .map((cell, i) => cell.padEnd(widths[i]! + 2))
        .join('')
        .trimEnd(),
    )
    .join('\n')}\n`
}

const targetsText = (found: Description): string =>
  columns(
    ['TARGET', 'DESCRIPTION'],
    found.targets.map(({ name, default: isDefault, description }) => [
      isDefault ? (name === '' ? '(default)' : `${name} (default)`) : name,
      description,
    ]),
  )

const named = (title: string, value: string | undefined): string =>
  value ? `${`${title}:`.padEnd(12)} ${value}\n` : ''

const outlineText = (found: Description, target: string | undefined): string => {
  const chosen = chosenOf(found, target)
  const head = named('TARGET', chosen?.name) + named('DESCRIPTION', chosen?.description)
  return [head, parametersText(found)].filter((part) => part !== '').join('\n')
}

const parametersText = (found: Description): string =>
  [
    columns(
      ['BUILD ARG', 'VALUE', 'DESCRIPTION'],
      found.args.map(({ name, value, description }) => [name, value ?? '', description]),
    ),
    columns(
      ['SECRET', 'REQUIRED'],
      found.secrets.map(({ name, required }) => [name, String(required)]),
    ),
    columns(
      ['SSH', 'REQUIRED'],
      found.ssh.map(({ name, required }) => [name, String(required)]),
    ),
    columns(
      ['CACHE MOUNT'],
      found.caches.map(({ id }) => [id]),
    ),
  ]
    .filter((table) => table !== '')
    .join('\n')

const lintText = (found: Description): string => {
  const warnings = found.warnings.map(
    ({ rule, url, message, source }) => `\nWARNING: ${rule} - ${url}\n${message}\n${source}\n`,
  )
  const { error } = found
  const source = (error?.details as { source?: string } | undefined)?.source
  return warnings.join('') + (error ? `\nERROR: ${error.message}\n${source ?? ''}\n` : '')
}
