import { readdirSync, readFileSync, readlinkSync } from 'node:fs'

/** "0100007F" → "127.0.0.1": the kernel writes the address as a number of this machine's byte order. */
const addressOf = (hex: string): string => {
  const bytes = hex.match(/../g)!.map((byte) => Number.parseInt(byte, 16))
  return bytes.reverse().join('.')
}

const ownInodes = (): Set<string> =>
  new Set(
    readdirSync('/proc/self/fd').flatMap((fd) => {
      try {
        return /^socket:\[(\d+)\]$/.exec(readlinkSync(`/proc/self/fd/${fd}`))?.[1] ?? []
      } catch {
        return [] // the descriptor of the reading itself
      }
    }),
  )

/**
 * IPv4 addresses that sockets of other processes wait at, loopback and "every" left out. They may outlive the interface that
 * had the address; who gets the same address then cannot bind there.
 */
export const addressesBoundByOthers = (): string[] => {
  const own = ownInodes()
  const found = new Set<string>()
  for (const protocol of ['tcp', 'udp']) {
    for (const line of readFileSync(`/proc/self/net/${protocol}`, 'utf8').split('\n').slice(1)) {
      // sl local_address rem_address st … inode; TCP's state 0A is LISTEN.
      const fields = line.trim().split(/\s+/)
      const hex = fields[1]?.split(':')[0]
      if (hex === undefined || (protocol === 'tcp' && fields[3] !== '0A') || own.has(fields[9]!)) continue
      const address = addressOf(hex)
      if (address !== '0.0.0.0' && !address.startsWith('127.')) found.add(address)
    }
  }
  return [...found]
}
