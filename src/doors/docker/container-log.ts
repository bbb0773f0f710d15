/** Where a container's output goes, and what `docker logs --details` says of it. */
import type { Container, ContainerSpec } from '../../engine/types.ts'
import { bad, defined } from './container-fields.ts'
import type { HostConfig } from './wire.ts'

/** What the drivers take (moby: daemon/logger/jsonfilelog, local, factory.go). */
const anyDriver = ['mode', 'max-buffer-size']
const known = {
  'json-file': ['max-file', 'max-size', 'compress', 'labels', 'labels-regex', 'env', 'env-regex', 'tag'],
  local: ['max-file', 'max-size', 'compress'],
}

export const logOf = (host: HostConfig): ContainerSpec['log'] => {
  const driver = host.LogConfig?.Type || 'json-file'
  const options = host.LogConfig?.Config ?? {}
  if (driver === 'none') return { driver, options }
  if (driver !== 'json-file' && driver !== 'local')
    throw bad(`error looking up logging plugin ${driver}: plugin "${driver}" not found`)
  for (const key of Object.keys(options))
    if (!anyDriver.includes(key) && !known[driver].includes(key))
      throw bad(`unknown log opt '${key}' for ${driver === 'local' ? 'log driver local' : 'json-file log driver'}`)
  const { mode } = options
  if (mode !== undefined && !['', 'blocking', 'non-blocking'].includes(mode))
    throw bad(`logger: logging mode not supported: ${mode}`)
  if (options['max-buffer-size'] !== undefined && mode !== 'non-blocking')
    throw bad(`logger: max-buffer-size option is only supported with 'mode=non-blocking'`)
  const maxFiles = options['max-file'] === undefined ? undefined : Number(options['max-file'])
  if (maxFiles !== undefined && !(Number.isInteger(maxFiles) && maxFiles >= 1))
    throw bad('max-file cannot be less than 1')
  for (const key of ['labels-regex', 'env-regex']) if (options[key]) pattern(options[key])
  return { driver, options, ...defined({ maxSize: bytes(options['max-size']), maxFiles }) }
}

/** "10m" → bytes. */
const bytes = (text: string | undefined): number | undefined => {
  if (text === undefined) return undefined
  const match = /^(\d+(?:\.\d+)?)\s*([kmgtp]?)i?b?$/i.exec(text)
  if (!match) throw bad(`invalid size: '${text}'`)
  const unit = match[2] ? 1024 ** ('kmgtp'.indexOf(match[2].toLowerCase()) + 1) : 1
  const size = Math.floor(Number(match[1]) * unit)
  if (size <= 0) throw bad('max-size must be a positive number')
  return size
}

const pattern = (text: string): RegExp => {
  try {
    return new RegExp(text)
  } catch {
    throw bad(`error parsing regexp: \`${text}\``)
  }
}

/** The labels and variables that the container's log options name, and its tag: "KEY=VALUE,…", sorted, '' for none. */
export const logDetails = ({ id, spec, imageId, process }: Container): string => {
  const { options } = spec.log
  const pairs = (entries: string[]): [string, string][] =>
    entries.filter((e) => e.includes('=')).map((e) => [e.slice(0, e.indexOf('=')), e.slice(e.indexOf('=') + 1)])
  const pick = (from: [string, string][], names = '', expression = ''): [string, string][] => {
    const listed = names.split(',')
    const matches = expression === '' ? undefined : pattern(expression)
    return from.filter(([key]) => listed.includes(key) || matches?.test(key))
  }
  const fields: Record<string, string> = {
    ...{ ID: id.slice(0, 12), FullID: id, Name: spec.name, ImageName: spec.image, DaemonName: 'docker' },
    ...{ ImageID: imageId.slice(7, 19), ImageFullID: imageId },
  }
  const tag = options.tag?.replace(/\{\{\s*\.(\w+)\s*\}\}/g, (all, name: string) => fields[name] ?? all)
  const found = new Map([
    ...pick(Object.entries(spec.labels), options.labels, options['labels-regex']),
    ...pick(pairs(process.env), options.env, options['env-regex']),
    ...(tag ? [['tag', tag] as const] : []),
  ])
  const escaped = (text: string): string => encodeURIComponent(text).replace(/%20/g, '+')
  return [...found]
    .map(([key, value]) => `${escaped(key)}=${escaped(value)}`)
    .sort()
    .join(',')
}
