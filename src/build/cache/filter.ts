/**
 * Which entries of the cache are meant: containerd's filter syntax as BuildKit uses it. `type==regular,inuse` holds where all of
 * its parts do; of several filters one must.
 */
import { SlipwayError } from '../../errors.ts'

interface Filtered {
  id: string
  type: string
  description: string
  inUse: boolean
  shared: boolean
  parents: readonly string[]
  mutable: boolean
}

export const matcher = (filters: readonly string[]): ((item: Filtered) => boolean) => {
  const all = filters.map((filter) => split(filter).map(part))
  return (item) => all.length === 0 || all.some((parts) => parts.every((holds) => holds(item)))
}

const split = (filter: string): string[] =>
  filter.match(/(?:[^",]|"(?:[^"\\]|\\.)*")+/g)?.map((text) => text.trim()) ?? []

/** Texts are compared; of a flag only its presence counts, as there. */
const fields: Record<string, (item: Filtered) => readonly string[] | boolean> = {
  id: (item) => [item.id],
  parents: (item) => item.parents,
  parent: (item) => item.parents,
  type: (item) => [item.type],
  description: (item) => [item.description],
  inuse: (item) => item.inUse,
  mutable: (item) => item.mutable,
  immutable: (item) => !item.mutable,
  shared: (item) => item.shared,
  private: (item) => !item.shared,
}

const part = (text: string): ((item: Filtered) => boolean) => {
  const [, name = '', operator, written = ''] = /^([a-z]+)(?:(==|!=|~=)(.*))?$/s.exec(text) ?? []
  const field = fields[name]
  if (!field) throw new SlipwayError('bad-request', `failed to parse prune filters: [${text}]`)
  const value = /^".*"$/s.test(written) ? unquoted(written) : written
  const fits = operator === '~=' ? regex(value) : (found: string) => (found === value) === (operator === '==')
  return (item) => {
    const found = field(item)
    if (typeof found !== 'boolean') return operator === undefined ? found.some((each) => each !== '') : found.some(fits)
    if (operator === undefined) return found
    return ['true', 'false'].includes(value) && (value === 'true') === (found === (operator === '=='))
  }
}

const unquoted = (text: string): string => {
  try {
    return JSON.parse(text) as string
  } catch (cause) {
    throw new SlipwayError('bad-request', `failed to parse prune filters: ${text}`, { cause })
  }
}

const regex = (value: string): ((found: string) => boolean) => {
  let compiled: RegExp
  try {
    compiled = new RegExp(value)
  } catch (cause) {
    throw new SlipwayError('bad-request', `failed to parse prune filters: ${value}`, { cause })
  }
  return (found) => compiled.test(found)
}
