/** Two small questions to nf_tables over netlink, answered at once: asking nft would cost a process each time. */
import { closeSync, readSync, writeSync } from 'node:fs'
import { socket } from './libc.ts'

const AF_NETLINK = 16
const SOCK_RAW_CLOEXEC = 3 | 0x80000
const NETLINK_NETFILTER = 12
const NLM_F_REQUEST = 1
const NLMSG_ERROR = 2
/** nf_tables' subsystem, and its messages (linux/netfilter/nf_tables.h). */
const subsystem = 10 << 8
const messages = { getTable: 1, getGeneration: 16 }
const families: Record<string, number> = { inet: 1, ip: 2, arp: 3, netdev: 5, bridge: 7, ip6: 10 }
const NFTA_TABLE_NAME = 1
const NFTA_GEN_ID = 1
const headerLength = 16 + 4

const request = (message: number, family: number, attributes: Buffer): Buffer => {
  const packet = Buffer.alloc(headerLength + attributes.length)
  packet.writeUInt32LE(packet.length, 0)
  packet.writeUInt16LE(subsystem | message, 4)
  packet.writeUInt16LE(NLM_F_REQUEST, 6)
  packet.writeUInt8(family, 16)
  attributes.copy(packet, headerLength)
  return packet
}

/** Padded to four bytes. */
const attribute = (type: number, value: Buffer): Buffer => {
  const length = 4 + value.length
  const padded = Buffer.alloc((length + 3) & ~3)
  padded.writeUInt16LE(length, 0)
  padded.writeUInt16LE(type, 2)
  value.copy(padded, 4)
  return padded
}

/** The answer, or the errno (positive) it is refused with. */
const ask = (packet: Buffer): Buffer | number => {
  const fd = socket(AF_NETLINK, SOCK_RAW_CLOEXEC, NETLINK_NETFILTER)
  try {
    writeSync(fd, packet)
    const answer = Buffer.alloc(8192)
    const length = readSync(fd, answer)
    if (answer.readUInt16LE(4) === NLMSG_ERROR) return -answer.readInt32LE(16)
    return answer.subarray(headerLength, length)
  } finally {
    closeSync(fd)
  }
}

export const hasTable = (family: string, name: string): boolean => {
  const answer = ask(
    request(messages.getTable, families[family]!, attribute(NFTA_TABLE_NAME, Buffer.from(`${name}\0`))),
  )
  return typeof answer !== 'number'
}

/** Another number after each change of any table; 0 where the kernel does not say. */
export const generation = (): number => {
  const answer = ask(request(messages.getGeneration, 0, Buffer.alloc(0)))
  if (typeof answer === 'number') return 0
  for (let at = 0; at + 4 <= answer.length; ) {
    const length = answer.readUInt16LE(at)
    if (answer.readUInt16LE(at + 2) === NFTA_GEN_ID) return answer.readUInt32BE(at + 4)
    if (length < 4) break
    at += (length + 3) & ~3
  }
  return 0
}
