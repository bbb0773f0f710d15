/** Writes the files a sandbox's containers see as /etc/hosts, /etc/resolv.conf and /etc/hostname. */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { readResolvConf } from '../../lib/dns/index.ts'
import { resolverAddress } from '../names/index.ts'
import type { SandboxSpec } from '../types.ts'
import { addressesOf, type Context, dirOf } from './context.ts'
import { renderHosts, renderResolvConf } from './files.ts'
import { needsResolver } from './resolution.ts'
import type { Wire } from './wiring.ts'

/** 'sandbox:ID' is the first address of another one; a line for one without addresses is left out. */
const linked = (ctx: Context, spec: SandboxSpec): SandboxSpec => ({
  ...spec,
  hosts: spec.hosts.flatMap(({ name, address }) => {
    if (!address.startsWith('sandbox:')) return [{ name, address }]
    const [wire] = ctx.networks.endpointsOf(address.slice('sandbox:'.length))
    return wire
      ? addressesOf(wire.endpoint)
          .slice(0, 1)
          .map((found) => ({ name, address: found }))
      : []
  }),
})

export const writeFiles = (ctx: Context, spec: SandboxSpec, wires: readonly Wire[]): void => {
  const dir = dirOf(ctx, spec.id)
  const host = spec.network.mode === 'host'
  const gateway = wires[0]?.network.subnets[0]?.gateway ?? '127.0.0.1'
  const base = host ? readFileSync('/etc/hosts', 'utf8') : undefined
  const addresses = wires.flatMap(({ endpoint }) => addressesOf(endpoint))
  const resolver = needsResolver(spec, wires) ? resolverAddress : undefined
  const question = { spec, host: readResolvConf(), resolver, hostNetwork: host }
  writeFileSync(join(dir, 'hosts'), renderHosts(linked(ctx, spec), addresses, gateway, base))
  writeFileSync(join(dir, 'resolv.conf'), renderResolvConf(question))
  writeFileSync(join(dir, 'hostname'), `${spec.hostname}\n`)
}
