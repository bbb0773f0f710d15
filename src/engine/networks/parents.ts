/** Links that macvlan and ipvlan networks sit on: found on the machine, or made by us. */
import { isError, messageOf, SlipwayError } from '../../errors.ts'
import { type Context, linkName } from './context.ts'
import { markOf } from './links.ts'
import { isOnParent } from './options.ts'
import type { StoredNetwork } from './records.ts'

interface Vlan {
  master: string
  id: number
}

/** "eth0.10": the links must exist besides the last one. Throws 'invalid' in docker's words. */
export const parseVlan = (name: string, links: ReadonlySet<string>): Vlan => {
  const invalid = (message: string): SlipwayError => new SlipwayError('invalid', message)
  if (!name.includes('.')) throw invalid(`invalid subinterface vlan name ${name}, example formatting is eth0.10`)
  const parts = name.split('.')
  if (parts.length !== 2)
    throw invalid(`required interface name format is: name.vlan_id, ex. eth0.10 for vlan 10, instead received ${name}`)
  const [master, id] = parts as [string, string]
  if (!/^\d+$/.test(id)) throw invalid(`unable to parse a valid vlan id from: ${id} (ex. eth0.10 for vlan 10)`)
  if (!links.has(master)) throw invalid(`-o parent interface was not found on the host: ${master}`)
  if (Number(id) < 1 || Number(id) > 4094) throw invalid(`vlan id must be between 1-4094, received: ${Number(id)}`)
  return { master, id: Number(id) }
}

/** A dummy link, or where the kernel has none a bridge without ports. */
const makeClosed = async (ctx: Context, name: string): Promise<void> => {
  try {
    await ctx.sys.links.batch([`link add name ${name} type dummy`])
  } catch (error) {
    if (!isError(error, 'internal')) throw error
    await ctx.sys.links.batch([`link add name ${name} type bridge`])
  }
  await ctx.sys.links.batch([`link set dev ${name} up`])
}

/** What the kernel said, in the words of an errno. */
export const kernelReason = (error: unknown): string => {
  const text = messageOf(error).replace(/^.*?(RTNETLINK answers|Error): /s, '')
  const reason = text === 'Unknown device type.' ? 'operation not supported' : text
  return reason.charAt(0).toLowerCase() + reason.slice(1)
}

const makeVlan = async (ctx: Context, name: string): Promise<void> => {
  const { master, id } = parseVlan(name, ctx.sys.links.names())
  try {
    await ctx.sys.links.batch([`link add link ${master} name ${name} type vlan id ${id}`])
  } catch (error) {
    throw new SlipwayError('internal', `failed to create ${name} vlan link: ${kernelReason(error)}`, { cause: error })
  }
  await ctx.sys.links.batch([`link set dev ${name} alias ${markOf(ctx.instance)}`, `link set dev ${name} up`])
}

/** Makes the parent if it is missing. */
export const ensureParent = async (ctx: Context, network: StoredNetwork): Promise<void> => {
  const name = linkName(ctx, network)
  if (ctx.sys.links.names().has(name)) return
  if (network.spec.options.parent) await makeVlan(ctx, name)
  else await makeClosed(ctx, name)
}

/** Was the link, by whatever name, made by this instance? */
export const isOurs = async (ctx: Context, name: string): Promise<boolean> => {
  if (!ctx.sys.links.names().has(name)) return false
  if (name.startsWith(ctx.instance.linkPrefix)) return true
  const [link] = (await ctx.sys.links.query(['link', 'show', 'dev', name])) as { ifalias?: string }[]
  return link?.ifalias === markOf(ctx.instance)
}

/** Deletes the parent if it is ours and no other network sits on it. */
export const dropParent = async (ctx: Context, network: StoredNetwork): Promise<void> => {
  const name = linkName(ctx, network)
  const shared = [...ctx.records.networks.values()].some(
    (other) => other.id !== network.id && isOnParent(other.spec) && linkName(ctx, other) === name,
  )
  if (!shared && (await isOurs(ctx, name))) await ctx.sys.links.batch([`link del dev ${name}`])
}
