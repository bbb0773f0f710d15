/** What a create request may not say, refused in dockerd's words before anything is looked up (moby: runconfig, daemon/container.go). */
import { parseAddress } from '../../lib/ip.ts'
import { bad } from './container-fields.ts'
import type { ContainerConfig, HostConfig } from './wire.ts'

export const checkCreate = (config: ContainerConfig, host: HostConfig): void => {
  checkNetwork(config, host)
  for (const entry of config.Env ?? [])
    if (entry === '' || entry.startsWith('=')) throw bad(`invalid environment variable: ${entry}`)
  checkHealth(config.Healthcheck)
  checkNamespaces(host)
  if ((host.ShmSize ?? 0) < 0) throw bad('SHM size can not be less than 0')
  const oom = host.OomScoreAdj ?? 0
  if (oom < -1000 || oom > 1000) throw bad(`Invalid value ${oom}, range for oom score adj is [-1000, 1000]`)
  if (Object.keys(host.Annotations ?? {}).includes(''))
    throw bad('invalid Annotations: the empty string is not permitted as an annotation key')
}

const checkNetwork = (config: ContainerConfig, host: HostConfig): void => {
  const mode = host.NetworkMode ?? ''
  const conflict = (what: string): Error => bad(`conflicting options: ${what}`)
  const undefinedWith = (what: string): Error =>
    conflict(`${what} can't be used with links. This would result in undefined behavior`)
  if (mode === 'container' || mode.startsWith('container:')) {
    if (!/^container:./.test(mode)) throw bad('Invalid network mode: invalid container format container:<name|id>')
    if (config.Hostname) throw conflict('hostname and the network mode')
    if (host.Links?.length) throw undefinedWith('container type network')
    if (host.Dns?.length) throw conflict('dns and the network mode')
    if (host.ExtraHosts?.length) throw conflict('custom host-to-IP mapping and the network mode')
    if (Object.keys(host.PortBindings ?? {}).length > 0 || host.PublishAllPorts)
      throw conflict('port publishing and the container type network mode')
    if (Object.keys(config.ExposedPorts ?? {}).length > 0)
      throw conflict('port exposing and the container type network mode')
  }
  if (host.UTSMode === 'host' && config.Hostname) throw conflict('hostname and the UTS mode')
  if (mode === 'host' && host.Links?.length) throw undefinedWith('host type networking')
}

/** Nanoseconds: what is shorter than a millisecond is a forgotten unit. */
const checkHealth = (health: ContainerConfig['Healthcheck']): void => {
  for (const field of ['Interval', 'Timeout', 'StartPeriod', 'StartInterval'] as const) {
    const value = health?.[field] ?? 0
    if (value !== 0 && value < 1e6) throw bad(`${field} in Healthcheck cannot be less than 1ms`)
  }
  if ((health?.Retries ?? 0) < 0) throw bad('Retries in Healthcheck cannot be negative')
}

const checkNamespaces = (host: HostConfig): void => {
  const valid = (value: string | undefined, ...known: string[]): boolean =>
    !value || known.includes(value) || (known.includes('container:') && /^container:./.test(value))
  if (!valid(host.IpcMode, 'none', 'private', 'shareable', 'host', 'container:'))
    throw bad(`invalid IPC mode: ${host.IpcMode}`)
  if (!valid(host.PidMode, 'host', 'container:')) throw bad(`invalid PID mode: ${host.PidMode}`)
  if (!valid(host.UTSMode, 'host')) throw bad(`invalid UTS mode: ${host.UTSMode}`)
  if (!valid(host.CgroupnsMode, 'private', 'host')) throw bad(`invalid cgroup namespace mode: ${host.CgroupnsMode}`)
}

/** "name:address", as `--add-host` says it. */
export const extraHost = (line: string): { name: string; address: string } => {
  const at = line.search(/[:=]/)
  if (at < 1) throw bad(`bad format for add-host: "${line}"`)
  const address = line.slice(at + 1).replace(/^\[|\]$/g, '')
  if (address !== 'host-gateway' && !parseAddress(address)) throw bad(`invalid IP address in add-host: "${address}"`)
  return { name: line.slice(0, at), address }
}
