import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { basename } from 'node:path'
import type { Protocol } from './hold.ts'

interface PortOwner {
  pid: number
  command: string
}

/** Inodes of sockets bound to `port` (listening, for TCP) in this network namespace. */
const inodesOf = (protocol: Protocol, port: number): Set<string> => {
  const wanted = port.toString(16).toUpperCase().padStart(4, '0')
  const inodes = new Set<string>()
  for (const file of [`/proc/net/${protocol}`, `/proc/net/${protocol}6`]) {
    let text = ''
    try {
      text = readFileSync(file, 'utf8')
    } catch {
      continue // IPv6 is off
    }
    for (const line of text.split('\n').slice(1)) {
      const fields = line.trim().split(/\s+/)
      // sl local_address rem_address st … inode; st 0A is LISTEN.
      if (fields[1]?.endsWith(`:${wanted}`) && (protocol === 'udp' || fields[3] === '0A')) inodes.add(fields[9]!)
    }
  }
  return inodes
}

const socketsOf = (pid: string): string[] => {
  try {
    return readdirSync(`/proc/${pid}/fd`).flatMap((fd) => {
      try {
        return [readlinkSync(`/proc/${pid}/fd/${fd}`)]
      } catch {
        return [] // closed meanwhile
      }
    })
  } catch {
    return [] // ended meanwhile
  }
}

/** The program as it was called: the name in `comm` may be that of a thread. */
const commandOf = (pid: string): string => {
  try {
    const [program] = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0')
    return (program && basename(program)) || readFileSync(`/proc/${pid}/comm`, 'utf8').trim()
  } catch {
    return '' // ended meanwhile
  }
}

/** Who holds the port, as /proc tells; undefined when it does not. Reads all of /proc: only for error messages. */
export const portOwner = (protocol: Protocol, port: number): PortOwner | undefined => {
  const inodes = inodesOf(protocol, port)
  if (inodes.size === 0) return undefined
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    const holds = socketsOf(pid).some((link) => link.startsWith('socket:[') && inodes.has(link.slice(8, -1)))
    if (!holds) continue
    return { pid: Number(pid), command: commandOf(pid) }
  }
  return undefined
}
