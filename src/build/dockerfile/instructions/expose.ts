import { isIP } from 'node:net'
import { readFlags } from '../flags.ts'
import { instruction } from '../instruction.ts'
import { SyntaxFault } from '../source.ts'
import { blankWords } from '../words.ts'

export const expose = instruction<{ ports: string[] }>('EXPOSE', {
  parse(statement) {
    readFlags(statement.flags)
    const ports = blankWords(statement.rest)
    if (ports.length === 0) throw new SyntaxFault('EXPOSE requires at least one argument')
    return { ports }
  },
  lower(node, stage) {
    const words = node.ports.flatMap((port) => stage.expandWords(port))
    const ports = words.flatMap((word) => {
      const protocol = word.split('/')[1] ?? ''
      if (protocol !== protocol.toLowerCase()) stage.warn('ExposeProtoCasing', word)
      if (word.includes(':')) stage.warn('ExposeInvalidFormat', word)
      return portsOf(word)
    })
    const exposed = Object.fromEntries(ports.map((port): [string, Record<string, never>] => [port, {}]))
    return {
      config: { ExposedPorts: { ...stage.config.ExposedPorts, ...exposed } },
      history: `EXPOSE [${ports.join(' ')}]`,
    }
  },
})

/** '[ip:][public:]private[-end][/proto]' → ['8080/tcp', …]. */
const portsOf = (word: string): string[] => {
  const parts = word.split(':')
  const container = parts.at(-1)!
  const host = parts.length > 1 ? parts.at(-2)! : ''
  const ip = parts
    .slice(0, -2)
    .join(':')
    .replace(/^\[|\]$/g, '')
  const [range = '', ...after] = container.split('/')
  const protocol = after.join('/')
  const near = { near: word }
  if (range === '') throw new SyntaxFault(`no port specified: ${word}<empty>`, near)
  const proto = protocol.toLowerCase() || 'tcp'
  if (!['tcp', 'udp', 'sctp'].includes(proto)) throw new SyntaxFault(`invalid proto: ${proto}`, near)
  if (ip !== '' && isIP(ip) === 0) throw new SyntaxFault(`invalid IP address: ${ip}`, near)
  const ports = portRange(range)
  if (!ports) throw new SyntaxFault(`invalid containerPort: ${range}`, near)
  if (host !== '') {
    const published = portRange(host)
    if (!published) throw new SyntaxFault(`invalid hostPort: ${host}`, near)
    if (ports[1] !== ports[0] && published[1] - published[0] !== ports[1] - ports[0])
      throw new SyntaxFault(`invalid ranges specified for container and host Ports: ${range} and ${host}`, near)
  }
  return Array.from({ length: ports[1] - ports[0] + 1 }, (_, i) => `${ports[0] + i}/${proto}`)
}

const portRange = (text: string): [number, number] | undefined => {
  const match = /^(\d+)(?:-(\d+))?$/.exec(text)
  if (!match) return undefined
  const start = Number(match[1])
  const end = Number(match[2] ?? match[1])
  return end < start || end > 65535 ? undefined : [start, end]
}
