/** --publish and --expose, with the messages of docker/go-connections' nat. */
import { isIP } from 'node:net'
import { uint16 } from './value.ts'

interface Published {
  exposed: Record<string, object>
  bindings: Record<string, { HostIp: string; HostPort: string }[]>
}

const range = (text: string): [number, number] => {
  if (text === '') throw new Error('empty string specified for ports')
  const at = text.indexOf('-')
  const [from, to] = at < 0 ? [text, text] : [text.slice(0, at), text.slice(at + 1)]
  const [first, last] = [port(from), port(to)]
  if (last < first) throw new Error(`invalid range specified for port: ${text}`)
  return [first, last]
}
const port = (text: string): number => {
  if (/^\d+$/.test(text)) return uint16(text)
  throw new Error(`strconv.ParseUint: parsing ${JSON.stringify(text)}: invalid syntax`)
}

const protocolOf = (text: string): [port: string, protocol: string] => {
  const [number = '', protocol = ''] = text.split('/')
  return [number, protocol === '' ? 'tcp' : protocol]
}

const orElse = <T>(message: string, work: () => T): T => {
  try {
    return work()
  } catch {
    throw new Error(message)
  }
}

/** published=8080,target=80,protocol=udp → 8080:80/udp. */
const standard = (text: string): string => {
  if (!text.includes('=')) return text
  const given: Record<string, string> = { protocol: 'tcp', published: '', target: '' }
  for (const field of text.split(',')) {
    const [key, value] = field.split('=')
    if (value === undefined) throw new Error(`invalid publish opts format (should be name=value but got '${field}')`)
    given[key!] = value
  }
  return `${given.published}:${given.target}/${given.protocol}`
}

const publishOne = (text: string, to: Published): void => {
  const parts = standard(text).split(':')
  const container = parts.pop()!
  const host = parts.pop() ?? ''
  const [target, given] = protocolOf(container)
  const protocol = given.toLowerCase()
  let ip = parts.join(':')
  if (ip.startsWith('[') && ip.endsWith(']')) ip = ip.slice(1, -1)
  if (ip !== '' && isIP(ip) === 0) throw new Error(`invalid IP address: ${ip}`)
  if (target === '') throw new Error(`no port specified: ${text}<empty>`)
  const [first, last] = orElse(`invalid containerPort: ${target}`, () => range(target))
  const [from, until] = host === '' ? [0, 0] : orElse(`invalid hostPort: ${host}`, () => range(host))
  if (host !== '' && last - first !== until - from && last !== first)
    throw new Error(`invalid ranges specified for container and host Ports: ${target} and ${host}`)
  if (!['tcp', 'udp', 'sctp'].includes(protocol)) throw new Error(`invalid proto: ${given}`)
  for (let i = 0; i <= last - first; i++) {
    const key = `${first + i}/${protocol}`
    const single = first === last && from !== until
    const HostPort = host === '' ? '' : single ? `${from}-${until}` : String(from + i)
    to.exposed[key] = {}
    ;(to.bindings[key] ??= []).push({ HostIp: ip, HostPort })
  }
}

const exposeOne = (text: string, to: Published): void => {
  if (text.includes(':')) throw new Error(`invalid port format for --expose: ${text}`)
  const [target, protocol] = protocolOf(text)
  let numbers: [number, number]
  try {
    numbers = range(target)
  } catch (error) {
    throw new Error(`invalid range format for --expose: ${text}, error: ${(error as Error).message}`)
  }
  for (let i = numbers[0]; i <= numbers[1]; i++) to.exposed[`${i}/${protocol}`] = {}
}

export const ports = (publish: readonly string[], expose: readonly string[]): Published => {
  const made: Published = { exposed: {}, bindings: {} }
  for (const each of publish) publishOne(each, made)
  for (const each of expose) exposeOne(each, made)
  return made
}
