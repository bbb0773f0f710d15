/**
 * `--call check|outline|targets`: questions about a Dockerfile instead of a build. Names and JSON forms are those of moby/buildkit
 * frontend/subrequests; clients print result.json in their own way, or result.txt as it is.
 */
import type { Builder, BuildRequest, Description } from '../../../build/types.ts'
import { SlipwayError } from '../../../errors.ts'

const known = {
  'frontend.outline': { what: 'outline', description: 'List all parameters current build target supports' },
  'frontend.targets': { what: 'targets', description: 'List all targets current build supports' },
  'frontend.lint': { what: 'check', description: 'Lint a Dockerfile' },
} as const

/** The metadata of the answer. */
export const answer = async (
  builder: Pick<Builder, 'describe'>,
  id: string,
  request: BuildRequest,
): Promise<Record<string, Uint8Array>> => {
  if (id === 'frontend.subrequests.describe') return metadata(descriptions(), '')
  const one = known[id as keyof typeof known]
  if (!one)
    throw new SlipwayError('unsupported', `unsupported request ${id}`, {
      hint: `Known are ${Object.keys(known).join(', ')}.`,
    })
  const found = await builder.describe(request, one.what)
  if (one.what === 'targets') return metadata(targets(found), targetsText(found))
  if (one.what === 'outline') return metadata(outline(found, request.target), outlineText(found))
  const failed = found.warnings.length > 0 || found.error !== undefined
  return { ...metadata(lint(found), lintText(found)), 'result.statuscode': Buffer.from(failed ? '1' : '0') }
}

const metadata = (json: object, text: string): Record<string, Uint8Array> => ({
  'result.json': Buffer.from(JSON.stringify(json, null, 2)),
  'result.txt': Buffer.from(text),
  version: Buffer.from('1.0.0'),
})

const descriptions = (): object[] =>
  Object.entries(known).map(([name, { description }]) => ({
    ...{ name, version: '1.0.0', type: 'rpc', description, opts: [] },
    metadata: [{ name: 'result.json' }, { name: 'result.txt' }],
  }))

const location = (line: number, end = line) => ({
  sourceIndex: 0,
  ranges: [{ start: { line }, end: { line: Math.max(line, end) } }],
})
const base64 = ({ text }: Description): string => Buffer.from(text).toString('base64')
const located = <T extends { line: number }>({ line, ...rest }: T) => ({ ...rest, location: location(line) })

const targets = (found: Description): object => ({ targets: found.targets.map(located), sources: [base64(found)] })

const outline = (found: Description, target: string | undefined): object => {
  const chosen = found.targets.find(target ? ({ name }) => name === target.toLowerCase() : (each) => each.default)
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

const outlineText = (found: Description): string =>
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
