/** Which devices a build's steps get (BuildKit solver/llbsolver/cdidevices and vertex.go, ValidateEntitlements). */
import type { NamedDevice } from '../engine/types.ts'
import { csv } from '../lib/csv.ts'
import { goBool } from '../lib/go-bool.ts'
import { checkKind, splitDevice } from '../spec/cdi/index.ts'
import type { DeviceWish } from './dockerfile/devices.ts'
import { SyntaxFault } from './dockerfile/source.ts'

const classOf = 'org.mobyproject.buildkit.device.class'
const autoAllow = 'org.mobyproject.buildkit.device.autoallow'

/** May every build have it? Its specification says so. */
export const isFreeDevice = ({ annotations }: NamedDevice): boolean => goBool(annotations[autoAllow] ?? '') === true

/** What a build is allowed: names, with the name each stands for where it is an alias. */
export type DeviceGrant = 'all' | ReadonlyMap<string, string>

/** Of the entitlements "device" and "device=NAME[,alias=ALIAS]"; others say nothing of devices. Throws an Error for a malformed one. */
export const deviceGrant = (entitlements: readonly string[]): DeviceGrant => {
  const names = new Map<string, string>()
  let all = false
  for (const each of entitlements) {
    const [key, config] = splitDevice(each)
    if (key !== 'device') continue
    if (config === '') all = true
    const [name = '', ...fields] = config === '' ? [] : csv(config)
    let alias = ''
    for (const field of fields) {
      if (!field.includes('=')) throw new Error(`invalid device config ${JSON.stringify(field)}`)
      const [option, value] = splitDevice(field)
      if (option !== 'alias') throw new Error(`unknown device config key ${JSON.stringify(option)}`)
      alias = value
    }
    if (alias !== '') names.set(alias, name)
    else if (name !== '') names.set(name, '')
  }
  return all ? 'all' : names
}

const fault = (message: string, hint?: string): SyntaxFault => new SyntaxFault(message, { near: '--device', hint })

const find = ({ name, required }: DeviceWish, known: readonly NamedDevice[]): string[] => {
  const [kind, device] = splitDevice(name)
  if (!/^[^/]+\/[^/]/.test(kind)) throw fault(`invalid device ${JSON.stringify(name)}`)
  try {
    checkKind(kind)
  } catch (error) {
    throw fault(`invalid device ${JSON.stringify(name)}: ${(error as Error).message}`)
  }
  const ofKind = known.filter((each) => each.name.startsWith(`${kind}=`))
  const named =
    device === '' ? ofKind.slice(0, 1) : device === '*' ? ofKind : ofKind.filter((each) => each.name === name)
  const found = named.length > 0 ? named : ofKind.filter((each) => each.annotations[classOf] === device)
  if (found.length === 0 && required) throw fault(`required device ${JSON.stringify(name)} is not registered`)
  return found.map((each) => each.name)
}

/** Names of what `wishes` stand for, each once. Throws a SyntaxFault for what is missing, or not allowed. */
export const grantedDevices = (
  wishes: readonly DeviceWish[],
  known: readonly NamedDevice[],
  grant: DeviceGrant,
): string[] => {
  if (grant === 'all') return [...new Set(wishes.flatMap((wish) => find(wish, known)))]
  const aliased = wishes.filter(({ name }) => grant.get(name))
  const meant = aliased.flatMap((wish) => find({ ...wish, name: grant.get(wish.name)! }, known))
  const others = wishes.filter((wish) => !aliased.includes(wish)).flatMap((wish) => find(wish, known))
  const given = new Set(
    [...grant].flatMap(([name, to]) => (to === '' ? find({ name, required: others.length > 0 }, known) : [])),
  )
  const free = new Set(known.filter(isFreeDevice).map(({ name }) => name))
  const refused = others.filter((name) => !given.has(name) && !free.has(name))
  if (refused.length > 0) {
    const one = refused.length === 1
    throw fault(
      `device${one ? '' : 's'} ${refused.join(', ')} ${one ? 'is' : 'are'} requested by the build but not allowed`,
      'Allow it for this build: --allow device, or --allow device=NAME.',
    )
  }
  return [...new Set([...meant, ...others])]
}
