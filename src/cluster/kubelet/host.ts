import { readFileSync } from 'node:fs'
import { cpus, totalmem } from 'node:os'
import type { HostResolver } from './sandbox-spec.ts'

/** What this machine resolves names with. Behind a local stub (systemd-resolved), which no pod can reach: what the stub asks. */
export const hostResolver = (
  path = '/etc/resolv.conf',
  behindStub = '/run/systemd/resolve/resolv.conf',
): HostResolver => {
  const direct = readResolver(path)
  if (!direct.servers.every((server) => server.startsWith('127.') || server === '::1')) return direct
  const real = readResolver(behindStub)
  return real.servers.length > 0 ? real : direct
}

/** Unreadable: nothing. */
const readResolver = (path: string): HostResolver => {
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
