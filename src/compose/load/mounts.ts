/** The short form of `volumes`: [SOURCE:]TARGET[:OPTION,…]. */
import type { Mount } from '../../spec/compose/project.ts'

const propagations = ['shared', 'slave', 'private', 'rshared', 'rslave', 'rprivate']
const consistencies = ['consistent', 'cached', 'delegated']

/** A path of this machine rather than the name of a volume? */
const isPath = (source: string): boolean => /^([./~]|[A-Za-z]:\\|\\\\)/.test(source)

/** The long form; a string is what is wrong. */
export const parseMount = (spec: string): Mount | string => {
  if (spec.trim() === '') return 'invalid empty volume spec'
  const windows = /^[A-Za-z]:\\/.test(spec) ? spec.slice(0, 2) : ''
  const parts = spec.slice(windows.length).split(':')
  parts[0] = windows + parts[0]
  if (parts.some((part) => part === '')) return `invalid spec: ${spec}: empty section between colons`
  if (parts.length > 3) return `invalid spec: ${spec}: too many colons`
  if (parts.length === 1) return { type: 'volume', target: clean(parts[0]!), volume: {} }
  const [source, target, options] = parts as [string, string, string | undefined]
  if (parts.length === 2 && !target.startsWith('/') && /^(ro|rw|z|Z|nocopy)(,|$)/.test(target))
    return readOptions({ type: 'volume', target: clean(source), volume: {} }, target)
  const mount: Mount = isPath(source)
    ? { type: 'bind', source, target: clean(target), bind: { create_host_path: true } }
    : { type: 'volume', source, target: clean(target), volume: {} }
  return readOptions(mount, options)
}

const clean = (target: string): string => (target.length > 1 ? target.replace(/\/+$/, '') || '/' : target)

const readOptions = (mount: Mount, options: string | undefined): Mount => {
  let result = mount
  for (const option of options?.split(',') ?? []) {
    if (option === 'ro') result = { ...result, read_only: true }
    else if (option === 'nocopy') result = { ...result, volume: { ...result.volume, nocopy: true } }
    else if (option === 'z' || option === 'Z') result = { ...result, bind: { ...result.bind, selinux: option } }
    else if (propagations.includes(option)) result = { ...result, bind: { ...result.bind, propagation: option } }
    else if (consistencies.includes(option)) result = { ...result, consistency: option }
    // rw is the default, and docker ignores words it does not know here
  }
  return result
}
