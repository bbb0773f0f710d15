/** RUN --mount=type=…,key=value,… */
import { posix } from 'node:path'
import { messageOf } from '../../errors.ts'
import { csv } from '../../lib/csv.ts'
import type { FilesFrom, RunMount } from '../ops.ts'
import type { StageState } from './instruction.ts'
import { suggest } from './nearest.ts'
import { SyntaxFault } from './source.ts'

const types = ['bind', 'cache', 'tmpfs', 'secret', 'ssh'] as const
const sharings = ['shared', 'private', 'locked'] as const
const keys = 'type from source target readonly id sharing required mode uid gid src dst ro rw readwrite env size'.split(
  ' ',
)

interface Fields {
  type: (typeof types)[number]
  from?: string
  source?: string
  target?: string
  id?: string
  env?: string
  sharing?: (typeof sharings)[number]
  readOnly?: boolean
  required: boolean
  size?: number
  mode?: number
  uid?: number
  gid?: number
}

const fieldsOf = (text: string): string[] => {
  try {
    return csv(text)
  } catch (cause) {
    throw new SyntaxFault(`failed to parse csv mounts: ${messageOf(cause)}`, { near: text })
  }
}

/** The `from` of a mount, if it has one. It is needed before variables are known, so it cannot hold any. */
export const checkMountFrom = (text: string): string[] =>
  fieldsOf(text).flatMap((field) => {
    const value = /^from=(.*)$/i.exec(field)?.[1]
    if (value === undefined || value === '') return []
    if (/\$./.test(value)) {
      throw new SyntaxFault("'from' doesn't support variable expansion, define alias stage instead", { near: field })
    }
    return [value]
  })

/** `agents`: how many of type ssh came before in the instruction. */
export const mountOf = (text: string, stage: StageState, agents: number): RunMount => {
  const fields: Fields = { type: 'bind', required: false }
  for (const field of fieldsOf(text)) readField(fields, field, stage)
  validate(fields)
  return build(fields, stage.config.WorkingDir || '/', agents)
}

/** One that every RUN gets, whatever its file says: then there is no stage to take anything from. */
export const autoMountOf = (text: string, stage: StageState, agents: number): RunMount => {
  try {
    if (checkMountFrom(text).length === 0) return mountOf(text, stage, agents)
  } catch (error) {
    if (error instanceof SyntaxFault) throw new SyntaxFault(`failed to parse automount ${text}: ${error.message}`)
    throw error
  }
  throw new SyntaxFault("automount does not support 'from' option")
}

const readField = (fields: Fields, field: string, stage: StageState): void => {
  const at = field.indexOf('=')
  const key = (at < 0 ? field : field.slice(0, at)).toLowerCase()
  const near = { near: field }
  if (at < 0) {
    if (key === 'readonly' || key === 'ro') fields.readOnly = true
    else if (key === 'readwrite' || key === 'rw') fields.readOnly = false
    else if (key === 'required') setRequired(fields, key, true)
    else throw new SyntaxFault(`invalid field '${field}' must be a key=value pair`, near)
    return
  }
  const value = stage.expand(field.slice(at + 1))
  switch (key) {
    case 'type':
      fields.type = pick('mount type', value, types)
      return
    case 'from':
      fields.from = value
      return
    case 'source':
    case 'src':
      fields.source = value
      return
    case 'target':
    case 'dst':
    case 'destination':
      fields.target = value
      return
    case 'readonly':
    case 'ro':
      fields.readOnly = boolean(key, value)
      return
    case 'readwrite':
    case 'rw':
      fields.readOnly = !boolean(key, value)
      return
    case 'required':
      setRequired(fields, key, boolean(key, value))
      return
    case 'size':
      if (fields.type !== 'tmpfs') throw new SyntaxFault(`unexpected key 'size' for mount type '${fields.type}'`, near)
      fields.size = bytes(value)
      return
    case 'id':
      fields.id = value
      return
    case 'env':
      fields.env = value
      return
    case 'sharing':
      fields.sharing = pick('sharing value', value, sharings)
      return
    case 'mode':
    case 'uid':
    case 'gid':
      if (!(key === 'mode' ? /^[0-7]+$/ : /^\d+$/).test(value))
        throw new SyntaxFault(`invalid value ${value} for ${key}`, near)
      fields[key] = Number.parseInt(value, key === 'mode' ? 8 : 10)
      return
    default:
      throw new SyntaxFault(suggest(`unexpected key '${key}' in '${field}'`, key, keys), near)
  }
}

const setRequired = (fields: Fields, key: string, value: boolean): void => {
  if (fields.type !== 'secret' && fields.type !== 'ssh')
    throw new SyntaxFault(`unexpected key '${key}' for mount type '${fields.type}'`, { near: key })
  fields.required = value
}

const pick = <T extends string>(what: string, value: string, known: readonly T[]): T => {
  const lower = value.toLowerCase() as T
  if (known.includes(lower)) return lower
  throw new SyntaxFault(suggest(`unsupported ${what} "${value}"`, value, known), { near: value })
}

const boolean = (key: string, value: string): boolean => {
  if (/^(1|t|true)$/i.test(value)) return true
  if (/^(0|f|false)$/i.test(value)) return false
  throw new SyntaxFault(`invalid value for ${key}: ${value}`, { near: value })
}

const bytes = (value: string): number => {
  const match = /^(\d+(?:\.\d+)?) ?([kmgtp]?)(?:i?b)?$/i.exec(value)
  if (!match) throw new SyntaxFault(`invalid value for size: ${value}`, { near: value })
  return Math.floor(Number(match[1]) * 1024 ** ' kmgtp'.indexOf(match[2]!.toLowerCase() || ' '))
}

const validate = (fields: Fields): void => {
  const { type } = fields
  if (type === 'bind' || type === 'tmpfs') {
    for (const key of ['mode', 'uid', 'gid'] as const)
      if (fields[key] !== undefined)
        throw new SyntaxFault(`${key} not allowed for "${type}" type mounts`, { near: key })
  }
  if (type === 'secret') {
    if (fields.from) throw new SyntaxFault('secret mount should not have a from')
    if (fields.sharing) throw new SyntaxFault('secret mount should not define sharing')
    if (!fields.source && !fields.target && !fields.id)
      throw new SyntaxFault('invalid secret mount. one of source, target required')
    if (fields.source && fields.id) throw new SyntaxFault("both source and id can't be set")
  }
  if (fields.sharing && type !== 'cache') throw new SyntaxFault(`invalid cache sharing set for ${type} mount`)
}

const fromOf = (name: string | undefined): FilesFrom => (name ? { kind: 'named', name } : { kind: 'context' })

const build = (fields: Fields, workdir: string, agents: number): RunMount => {
  const { type, mode, uid, gid } = fields
  if (type === 'secret') {
    const id = fields.id || fields.source || posix.basename(fields.target!)
    // With env and no target it is only a variable.
    const file =
      fields.env === undefined || fields.target ? fields.target || `/run/secrets/${posix.basename(id)}` : undefined
    return {
      type,
      id,
      target: file === undefined ? undefined : posix.resolve(workdir, file),
      // Without a value the variable is called as the secret.
      env: fields.env === '' ? id : fields.env,
      required: fields.required,
      mode: mode ?? 0o400,
      uid: uid ?? 0,
      gid: gid ?? 0,
    }
  }
  if (type === 'ssh') {
    const target = posix.resolve(workdir, fields.target || `/run/buildkit/ssh_agent.${agents}`)
    const owner = { mode: mode ?? 0o600, uid: uid ?? 0, gid: gid ?? 0 }
    return { type, id: fields.id || 'default', target, required: fields.required, ...owner }
  }
  const target = posix.resolve(workdir, fields.target ?? '')
  if (!fields.target && type !== 'bind') throw new SyntaxFault(`invalid mount target "${target}"`)
  if (target === '/') throw new SyntaxFault(`invalid mount target "${target}"`, { near: fields.target })
  const source = posix.join('/', fields.source ?? '')
  if (type === 'tmpfs') return { type, target, size: fields.size }
  if (type === 'cache') {
    return {
      type,
      id: fields.id || posix.normalize(fields.target!),
      from: fields.from && fields.from !== 'scratch' ? fromOf(fields.from) : undefined,
      source,
      target,
      readOnly: fields.readOnly ?? false,
      sharing: fields.sharing ?? 'shared',
      mode,
      uid,
      gid,
    }
  }
  return { type: 'bind', from: fromOf(fields.from), source, target, readOnly: fields.readOnly ?? true }
}
