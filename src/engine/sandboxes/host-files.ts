/** Writes the files a sandbox's containers see as /etc/hosts, /etc/resolv.conf and /etc/hostname. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { readResolvConf } from '../../lib/dns/index.ts'
import { resolverAddress } from '../names/index.ts'
import { isOnParent } from '../networks/index.ts'
import type { SandboxSpec } from '../types.ts'
import { addressesOf, type Context, fileDirOf, must } from './context.ts'
import { renderHosts, renderResolvConf } from './files.ts'
import { needsResolver } from './resolution.ts'
import type { Wire } from './wiring.ts'

/** Where links lead: to the default network, if it is on that. */
const linkedWire = (ctx: Context, id: string): Wire | undefined => {
  const wires = ctx.networks.endpointsOf(id)
  return wires.find(({ network }) => network.spec.name === 'bridge') ?? wires[0]
}

/** 'sandbox:ID' is the first address of another one; a line for one without addresses is left out. */
const linked = (ctx: Context, spec: SandboxSpec): SandboxSpec => ({
  ...spec,
  hosts: spec.hosts.flatMap(({ name, address }) => {
    if (!address.startsWith('sandbox:')) return [{ name, address }]
    const wire = linkedWire(ctx, address.slice('sandbox:'.length))
    return wire
      ? addressesOf(wire.endpoint)
          .slice(0, 1)
          .map((found) => ({ name, address: found }))
      : []
  }),
})

/** The lines of `names` in a hosts file, with `address` or without any. */
const replaceNames = (ctx: Context, id: string, names: readonly string[], address?: string): void => {
  const path = join(fileDirOf(ctx, id), 'hosts')
  const kept = readFileSync(path, 'utf8')
    .split('\n')
    .filter((line) => line !== '' && !names.some((name) => line.endsWith(`\t${name}`)))
  const fresh = address === undefined ? [] : names.map((name) => `${address}\t${name}`)
  // Written in place: the file is bind-mounted.
  writeFileSync(path, [...kept, ...fresh, ''].join('\n'))
}

export const removeHost = (ctx: Context, id: string, host: SandboxSpec['hosts'][number]): void => {
  const record = must(ctx, id)
  const hosts = record.spec.hosts.filter(({ name, address }) => name !== host.name || address !== host.address)
  ctx.records.save({ ...record, spec: { ...record.spec, hosts } })
  if (record.state === 'ready') replaceNames(ctx, id, [host.name])
}

/** A sandbox that has just got its addresses: whoever has it in its hosts file learns the new one. */
export const tellLinked = (ctx: Context, id: string): void => {
  const wire = linkedWire(ctx, id)
  const [address] = wire ? addressesOf(wire.endpoint) : []
  if (address === undefined) return
  for (const { spec, state } of ctx.records.all.values()) {
    const names = spec.hosts.filter((host) => host.address === `sandbox:${id}`).map(({ name }) => name)
    if (state !== 'ready' || names.length === 0) continue
    replaceNames(ctx, spec.id, names, address)
  }
}

/** Where the machine is reached from inside: what 'host-gateway' stands for. */
const hostAddresses = (ctx: Context, wires: readonly Wire[], host: boolean): string[] => {
  if (host) return ['127.0.0.1']
  const near = wires.map(({ network }) => network).filter(({ spec }) => !isOnParent(spec))
  const usual = ctx.networks.must('bridge')
  for (const { subnets } of [...near, usual]) {
    const gateways = subnets.flatMap(({ gateway }) => gateway || [])
    if (gateways.length > 0) return gateways
  }
  return ['127.0.0.1']
}

export const writeFiles = (ctx: Context, spec: SandboxSpec, wires: readonly Wire[]): void => {
  const dir = fileDirOf(ctx, spec.id)
  mkdirSync(dir, { recursive: true, mode: 0o700 })
  const host = spec.network.mode === 'host'
  const base = host ? readFileSync('/etc/hosts', 'utf8') : undefined
  const addresses = wires.flatMap(({ endpoint }) => addressesOf(endpoint))
  const resolver = needsResolver(spec, wires) ? resolverAddress : undefined
  const question = { spec, host: readResolvConf(), resolver, hostNetwork: host }
  writeFileSync(join(dir, 'hosts'), renderHosts(linked(ctx, spec), addresses, hostAddresses(ctx, wires, host), base))
  writeFileSync(join(dir, 'resolv.conf'), renderResolvConf(question))
  writeFileSync(join(dir, 'hostname'), `${spec.hostname}\n`)
}
