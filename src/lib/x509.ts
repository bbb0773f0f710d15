/**
 * A small writer of X.509 certificates (RFC 5280) with ECDSA P-256 keys, enough for a private PKI: authorities, servers and
 * clients. Node's crypto signs; this file only lays out the DER.
 */
import { createHash, createPublicKey, generateKeyPairSync, type KeyObject, randomBytes, sign } from 'node:crypto'
import { isIPv4, isIPv6 } from 'node:net'

export interface DistinguishedName {
  commonName: string
  organizations?: readonly string[] | undefined
}
interface CertificateRequest {
  subject: DistinguishedName
  /** The subject's private or public key. */
  key: KeyObject
  /** Who signs; absent: self-signed with `key`. */
  issuer?: { subject: DistinguishedName; key: KeyObject } | undefined
  notBefore: Date
  notAfter: Date
  /** True for an authority. */
  authority?: boolean | undefined
  usages?: readonly ('server' | 'client')[] | undefined
  /** DNS names and IP addresses for the subjectAltName. */
  names?: readonly string[] | undefined
}

const length = (n: number): Buffer => {
  if (n < 0x80) return Buffer.from([n])
  const hex = n.toString(16)
  const bytes = Buffer.from(hex.length % 2 ? `0${hex}` : hex, 'hex')
  return Buffer.concat([Buffer.from([0x80 | bytes.length]), bytes])
}
const der = (tag: number, ...parts: Uint8Array[]): Buffer => {
  const content = Buffer.concat(parts)
  return Buffer.concat([Buffer.from([tag]), length(content.length), content])
}
const sequence = (...parts: Uint8Array[]): Buffer => der(0x30, ...parts)
const set = (...parts: Uint8Array[]): Buffer => der(0x31, ...parts)
const utf8 = (text: string): Buffer => der(0x0c, Buffer.from(text))
const octets = (bytes: Uint8Array): Buffer => der(0x04, bytes)
const bits = (bytes: Uint8Array, unused = 0): Buffer => der(0x03, Buffer.from([unused]), bytes)
const yes = der(0x01, Buffer.from([0xff]))
const oid = (dotted: string): Buffer => {
  const [a, b, ...rest] = dotted.split('.').map(Number)
  const bytes = [a! * 40 + b!]
  for (const arc of rest) {
    const base128 = [arc & 0x7f]
    for (let n = arc >>> 7; n > 0; n >>>= 7) base128.unshift(0x80 | (n & 0x7f))
    bytes.push(...base128)
  }
  return der(0x06, Buffer.from(bytes))
}
/** UTCTime until 2049, GeneralizedTime after (RFC 5280, 4.1.2.5). */
const time = (date: Date): Buffer => {
  const digits = date.toISOString().replace(/[-:T]|\.\d+/g, '')
  return date.getUTCFullYear() < 2050 ? der(0x17, Buffer.from(digits.slice(2))) : der(0x18, Buffer.from(digits))
}
const attribute = (type: string, value: string): Buffer => set(sequence(oid(type), utf8(value)))
const nameOf = (name: DistinguishedName): Buffer =>
  sequence(...(name.organizations ?? []).map((o) => attribute('2.5.4.10', o)), attribute('2.5.4.3', name.commonName))
const addressBytes = (address: string): Buffer => {
  if (isIPv4(address)) return Buffer.from(address.split('.').map(Number))
  const [head = '', tail] = address.split('::')
  const words = (text: string): number[] => (text ? text.split(':').map((w) => Number.parseInt(w, 16)) : [])
  const [left, right] = [words(head), words(tail ?? '')]
  const all = [...left, ...Array<number>(tail === undefined ? 0 : 8 - left.length - right.length).fill(0), ...right]
  return Buffer.from(all.flatMap((w) => [w >> 8, w & 0xff]))
}
const publicOf = (key: KeyObject): KeyObject => (key.type === 'private' ? createPublicKey(key) : key)
/** SHA-1 of the public key's bits (RFC 5280, 4.2.1.2); the last 65 bytes of a P-256 SubjectPublicKeyInfo are the point. */
const keyIdentifier = (key: KeyObject): Buffer =>
  createHash('sha1')
    .update(publicOf(key).export({ type: 'spki', format: 'der' }).subarray(-65))
    .digest()

const extension = (id: string, critical: boolean, value: Buffer): Buffer =>
  critical ? sequence(oid(id), yes, octets(value)) : sequence(oid(id), octets(value))

const extensionsOf = (request: CertificateRequest): Buffer[] => {
  const { authority, usages = [], names = [] } = request
  const purposes = { server: '1.3.6.1.5.5.7.3.1', client: '1.3.6.1.5.5.7.3.2' }
  const list = [
    extension('2.5.29.19', true, authority ? sequence(yes) : sequence()),
    // keyCertSign, cRLSign and digitalSignature for an authority; digitalSignature for the others.
    extension('2.5.29.15', true, authority ? bits(Buffer.from([0x86]), 1) : bits(Buffer.from([0x80]), 7)),
    extension('2.5.29.14', false, octets(keyIdentifier(request.key))),
    extension('2.5.29.35', false, sequence(der(0x80, keyIdentifier(request.issuer?.key ?? request.key)))),
  ]
  if (usages.length) list.push(extension('2.5.29.37', false, sequence(...usages.map((u) => oid(purposes[u])))))
  if (names.length) {
    const general = names.map((name) =>
      isIPv4(name) || isIPv6(name) ? der(0x87, addressBytes(name)) : der(0x82, Buffer.from(name)),
    )
    list.push(extension('2.5.29.17', false, sequence(...general)))
  }
  return list
}

/** A new P-256 key pair's private half. */
export const newKey = (): KeyObject => generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey
/** PKCS#8 PEM. */
export const keyPem = (key: KeyObject): string => key.export({ type: 'pkcs8', format: 'pem' }).toString()
/** SubjectPublicKeyInfo PEM. */
export const publicPem = (key: KeyObject): string => publicOf(key).export({ type: 'spki', format: 'pem' }).toString()

/** Signs a certificate; PEM. */
export const writeCertificate = (request: CertificateRequest): string => {
  const algorithm = sequence(oid('1.2.840.10045.4.3.2')) // ecdsa-with-SHA256
  const serial = randomBytes(16)
  serial[0] = (serial[0]! & 0x7f) | 0x40 // positive, and never shorter
  const issuer = request.issuer ?? { subject: request.subject, key: request.key }
  const body = sequence(
    der(0xa0, der(0x02, Buffer.from([2]))),
    der(0x02, serial),
    algorithm,
    nameOf(issuer.subject),
    sequence(time(request.notBefore), time(request.notAfter)),
    nameOf(request.subject),
    publicOf(request.key).export({ type: 'spki', format: 'der' }),
    der(0xa3, sequence(...extensionsOf(request))),
  )
  const certificate = sequence(body, algorithm, bits(sign('sha256', body, issuer.key)))
  const lines = certificate.toString('base64').match(/.{1,64}/g)!
  return `-----BEGIN CERTIFICATE-----\n${lines.join('\n')}\n-----END CERTIFICATE-----\n`
}
