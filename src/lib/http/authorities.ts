import { getCACertificates, rootCertificates } from 'node:tls'

let known: string[] | undefined
/** Those everybody trusts and those this machine's owner has installed: a company's own authority counts everywhere. */
export const knownAuthorities = (): string[] =>
  (known ??= [...new Set([...rootCertificates, ...getCACertificates('system')])])
