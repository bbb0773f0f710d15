import { readdirSync, readFileSync } from 'node:fs'
import { getCACertificates, rootCertificates } from 'node:tls'
import type { Trust } from './http.ts'

/** What `HOST/` of a certs.d directory holds: *.crt authorities, NAME.cert and NAME.key of the client (docker's convention). */
export const certificatesIn = (dir: string): Trust => {
  const names = namesIn(dir)
  const read = (name: string): string => readFileSync(`${dir}/${name}`, 'utf8')
  const ca = names.filter((name) => name.endsWith('.crt')).map(read)
  const cert = names.find((name) => name.endsWith('.cert'))
  const key = cert?.replace(/\.cert$/, '.key')
  return {
    ...(ca.length > 0 && { ca: [...knownAuthorities(), ...ca] }),
    ...(cert !== undefined && { cert: read(cert) }),
    ...(key !== undefined && names.includes(key) && { key: read(key) }),
  }
}

let known: string[] | undefined
/** Those everybody trusts and those this machine's owner has installed: a company's own authority counts everywhere. */
export const knownAuthorities = (): string[] =>
  (known ??= [...new Set([...rootCertificates, ...getCACertificates('system')])])

const namesIn = (dir: string): string[] => {
  try {
    return readdirSync(dir).sort()
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT' || code === 'ENOTDIR') return []
    throw error
  }
}
