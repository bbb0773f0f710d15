/** Just enough of RFC 1035 to pass messages on as they are: ids, times to live, truncation. Nothing is re-encoded. */

const headerBytes = 12

interface Question {
  /** Lower case, without the final dot. */
  name: string
  type: number
  class: number
  /** Offset behind the question section. */
  end: number
}

/** Offset behind a name, or -1. */
const skipName = (message: Uint8Array, start: number): number => {
  let at = start
  while (at < message.length) {
    const length = message[at]!
    if (length === 0) return at + 1
    if (length >= 0xc0) return at + 2
    at += length + 1
  }
  return -1
}

/** The question of a query with exactly one; undefined for anything else. */
export const questionOf = (message: Buffer): Question | undefined => {
  if (message.length < headerBytes || message.readUInt16BE(4) !== 1) return undefined
  const labels: string[] = []
  let at = headerBytes
  for (;;) {
    const length = message[at]
    if (length === undefined || length > 63) return undefined
    if (length === 0) break
    labels.push(message.toString('latin1', at + 1, at + 1 + length).toLowerCase())
    at += length + 1
  }
  if (at + 5 > message.length) return undefined
  return {
    name: labels.join('.'),
    type: message.readUInt16BE(at + 1),
    class: message.readUInt16BE(at + 3),
    end: at + 5,
  }
}

interface Record {
  type: number
  ttlAt: number
}

/** Resource records behind the question; undefined when the message is torn. */
const recordsOf = (message: Buffer): Record[] | undefined => {
  const question = questionOf(message)
  if (!question) return undefined
  const count = message.readUInt16BE(6) + message.readUInt16BE(8) + message.readUInt16BE(10)
  const records: Record[] = []
  let at = question.end
  for (let i = 0; i < count; i++) {
    at = skipName(message, at)
    if (at < 0 || at + 10 > message.length) return undefined
    records.push({ type: message.readUInt16BE(at), ttlAt: at + 4 })
    at += 10 + message.readUInt16BE(at + 8)
  }
  return at <= message.length ? records : undefined
}

const OPT = 41

export const rcodeOf = (message: Buffer): number => message[3]! & 15
export const isTruncated = (message: Buffer): boolean => (message[2]! & 2) !== 0
export const isResponse = (message: Buffer): boolean => (message[2]! & 0x80) !== 0

/** UDP payload the client can take: its EDNS size, else 512. */
const payloadSize = (query: Buffer): number => {
  const opt = recordsOf(query)?.find(({ type }) => type === OPT)
  // In OPT the class field, just before the ttl, holds the size.
  return opt === undefined ? 512 : Math.max(512, Math.min(4096, query.readUInt16BE(opt.ttlAt - 2)))
}

/** Smallest time to live in seconds; undefined without records. Of a negative answer, the SOA's (capped by the caller). */
export const timeToLive = (message: Buffer): number | undefined => {
  const ttls = recordsOf(message)
    ?.filter(({ type }) => type !== OPT)
    .map(({ ttlAt }) => message.readUInt32BE(ttlAt))
  return ttls && ttls.length > 0 ? Math.min(...ttls) : undefined
}

/** A copy for another query: its id and its spelling of the name, and times to live reduced by `ageSeconds`. */
export const readdressed = (response: Buffer, query: Buffer, ageSeconds: number): Buffer => {
  const copy = Buffer.from(response)
  query.copy(copy, 0, 0, 2)
  const question = questionOf(query)
  if (question && questionOf(copy)?.end === question.end) query.copy(copy, headerBytes, headerBytes, question.end)
  for (const { type, ttlAt } of recordsOf(copy) ?? [])
    if (type !== OPT) copy.writeUInt32BE(Math.max(0, copy.readUInt32BE(ttlAt) - ageSeconds), ttlAt)
  return copy
}

/** An answer without records. SERVFAIL is 2, NXDOMAIN 3, REFUSED 5. */
export const emptyAnswer = (query: Buffer, rcode: number, flags = 0): Buffer => {
  const end = questionOf(query)?.end ?? headerBytes
  const answer = Buffer.alloc(Math.max(end, headerBytes))
  query.copy(answer, 0, 0, Math.min(end, query.length))
  answer[2] = 0x80 | (query[2]! & 0x79) | flags
  answer[3] = 0x80 | rcode
  answer.writeUInt16BE(end > headerBytes ? 1 : 0, 4)
  answer.fill(0, 6, headerBytes)
  return answer
}

/** `response`, or its header with the truncation bit when it is longer than the client takes over UDP. */
export const fitted = (response: Buffer, query: Buffer): Buffer =>
  response.length <= payloadSize(query) ? response : emptyAnswer(query, rcodeOf(response), 2)
