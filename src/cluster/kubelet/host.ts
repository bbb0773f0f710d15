import { readFileSync } from 'node:fs'
import { cpus, totalmem } from 'node:os'
import type { HostResolver } from './sandbox-spec.ts'

/** This machine's /etc/resolv.conf. Unreadable: nothing. */
export const hostResolver = (path = '/etc/resolv.conf'): HostResolver => {
  const result: HostResolver = { servers: [], searches: [], options: [] }
  let text = ''
  try {
    text = readFileSync(path, 'utf8')
  } catch {
    return result
  }
  for (const line of text.split('\n')) {
    const [word, ...rest] = line
      .replace(/[#;].*/, '')
      .trim()
      .split(/\s+/)
    if (word === 'nameserver' && rest[0]) result.servers.push(rest[0])
    if (word === 'search' || word === 'domain') result.searches = rest
    if (word === 'options') result.options.push(...rest)
  }
  return result
}

/** What the node can give: whole CPUs, bytes. */
export const hostCapacity = (): { cpus: number; memoryBytes: number } => ({
  cpus: cpus().length,
  memoryBytes: totalmem(),
})
