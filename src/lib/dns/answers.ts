import type { DecodedPacket, Packet, Answer as ResourceRecord } from 'dns-packet'

/** What we know of a name. undefined from a zone: not ours, ask elsewhere. */
export interface Known {
  rcode: 'NOERROR' | 'NXDOMAIN'
  answers: ResourceRecord[]
  additionals?: ResourceRecord[] | undefined
  /** For NXDOMAIN and empty answers: lets clients remember them, shortly. */
  authorities?: ResourceRecord[] | undefined
}

/** RFC 1035 §4.1.1 */
const rcodes = { NOERROR: 0, NXDOMAIN: 3 } as const
const AUTHORITATIVE = 1 << 10
const RECURSION_DESIRED = 1 << 8
const RECURSION_AVAILABLE = 1 << 7

export interface Codec {
  decode(message: Buffer): DecodedPacket
  encode(query: DecodedPacket, known: Known): Buffer
}

/** dns-packet, loaded when the first query comes. */
export const loadCodec = async (): Promise<Codec> => {
  const { default: packet } = await import('dns-packet')
  return {
    decode: (message) => packet.decode(message),
    encode(query, known) {
      const response: Packet = {
        type: 'response',
        id: query.id ?? 0,
        flags: AUTHORITATIVE | RECURSION_AVAILABLE | ((query.flags ?? 0) & RECURSION_DESIRED) | rcodes[known.rcode],
        questions: query.questions ?? [],
        answers: known.answers,
        authorities: known.authorities ?? [],
        additionals: known.additionals ?? [],
      }
      return packet.encode(response)
    },
  }
}
