import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Clock } from '../../lib/clock.ts'
import { type DistinguishedName, keyPem, newKey, publicPem, writeCertificate } from '../../lib/x509.ts'

/** Everything the cluster's trust rests on, as PEM. Private keys stay in files of mode 0600. */
export interface Certificates {
  ca: string
  /** The API server's own certificate and key. */
  cert: string
  key: string
  /** Client certificate of `kubernetes-admin` in `system:masters`. */
  adminCert: string
  adminKey: string
  /** Signs service account tokens (ES256). */
  serviceAccountKey: string
  serviceAccountPublicKey: string
}
interface CertificateOptions {
  /** Directory that keeps them; made with mode 0700 when missing. */
  directory: string
  clock: Clock
  /** DNS names and addresses clients use beyond the usual ones: the service address, this machine's. */
  names?: readonly string[] | undefined
}

const day = 24 * 3600 * 1000
const lifetime = 365 * day
/** A certificate is replaced when less than this is left. */
const renewBefore = 90 * day
const authority: DistinguishedName = { commonName: 'slipway-ca' }
const usualNames = [
  'localhost',
  'kubernetes',
  'kubernetes.default',
  'kubernetes.default.svc',
  'kubernetes.default.svc.cluster.local',
  '127.0.0.1',
  '::1',
]

const read = (path: string): string | undefined => (existsSync(path) ? readFileSync(path, 'utf8') : undefined)
const write = (path: string, text: string): string => {
  writeFileSync(`${path}.new`, text, { mode: 0o600, flush: true })
  renameSync(`${path}.new`, path)
  return text
}

interface Pair {
  cert: string
  key: string
}
type OldPair = { [K in keyof Pair]?: Pair[K] | undefined }
interface Wanted {
  file: string
  subject: DistinguishedName
  usages: ('server' | 'client')[]
  names?: readonly string[]
}

/** The pair on disk when it still serves: the halves match, `issuer` signed it, it names all that is asked for, time is left. */
const usable = (pair: OldPair, issuer: string, names: readonly string[], now: number): pair is Pair => {
  if (!pair.cert || !pair.key) return false
  const cert = new X509Certificate(pair.cert)
  const known = new Set((cert.subjectAltName ?? '').split(', ').map((n) => n.replace(/^(DNS|IP Address):/, '')))
  const spelled = (name: string): string => (name === '::1' ? '0:0:0:0:0:0:0:1' : name)
  return (
    cert.checkPrivateKey(createPrivateKey(pair.key)) &&
    cert.verify(new X509Certificate(issuer).publicKey) &&
    Date.parse(cert.validTo) - now > renewBefore &&
    names.every((n) => known.has(n) || known.has(spelled(n)))
  )
}

/**
 * Loads the cluster's certificates, making what is missing and renewing what runs out. The key is always written before its
 * certificate and a pair that does not match is made anew, so a kill in between does no harm.
 */
export const loadCertificates = (options: CertificateOptions): Certificates => {
  const { directory, clock } = options
  mkdirSync(directory, { recursive: true, mode: 0o700 })
  const at = (file: string): string => join(directory, file)
  const now = clock.now()
  const notBefore = new Date(now - 3600 * 1000)

  const stored = { cert: read(at('ca.crt')), key: read(at('ca.key')) }
  let ca: Pair
  if (stored.cert && usable(stored, stored.cert, [], now)) ca = stored
  else {
    const key = newKey()
    const pem = writeCertificate({
      subject: authority,
      key,
      authority: true,
      notBefore,
      notAfter: new Date(now + 10 * lifetime),
    })
    ca = { key: write(at('ca.key'), keyPem(key)), cert: write(at('ca.crt'), pem) }
  }

  let caKey: KeyObject | undefined
  const issue = ({ file, subject, usages, names = [] }: Wanted): Pair => {
    const old = { cert: read(at(`${file}.crt`)), key: read(at(`${file}.key`)) }
    if (usable(old, ca.cert, names, now)) return old
    caKey ??= createPrivateKey(ca.key)
    const key = newKey()
    const issuer = { subject: authority, key: caKey }
    const pem = writeCertificate({ subject, key, issuer, usages, names, notBefore, notAfter: new Date(now + lifetime) })
    return { key: write(at(`${file}.key`), keyPem(key)), cert: write(at(`${file}.crt`), pem) }
  }
  const server = issue({
    file: 'apiserver',
    subject: { commonName: 'kube-apiserver' },
    usages: ['server'],
    names: [...new Set([...usualNames, ...(options.names ?? [])])],
  })
  const admin = issue({
    file: 'admin',
    subject: { commonName: 'kubernetes-admin', organizations: ['system:masters'] },
    usages: ['client'],
  })
  const serviceAccountKey = read(at('sa.key')) ?? write(at('sa.key'), keyPem(newKey()))
  return {
    ca: ca.cert,
    cert: server.cert,
    key: server.key,
    adminCert: admin.cert,
    adminKey: admin.key,
    serviceAccountKey,
    serviceAccountPublicKey: publicPem(createPrivateKey(serviceAccountKey)),
  }
}

/** A kubeconfig for the administrator with everything embedded. Write it with mode 0600. */
export const adminKubeconfig = (server: string, certificates: Certificates, name = 'slipway'): string => {
  const base64 = (pem: string): string => Buffer.from(pem).toString('base64')
  return `apiVersion: v1
kind: Config
clusters:
- name: ${name}
  cluster:
    server: ${server}
    certificate-authority-data: ${base64(certificates.ca)}
users:
- name: ${name}-admin
  user:
    client-certificate-data: ${base64(certificates.adminCert)}
    client-key-data: ${base64(certificates.adminKey)}
contexts:
- name: ${name}
  context:
    cluster: ${name}
    user: ${name}-admin
current-context: ${name}
`
}
