import { readdirSync, readFileSync } from 'node:fs'
import { knownAuthorities } from '../../lib/http/authorities.ts'
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

const namesIn = (dir: string): string[] => {
  try {
    return readdirSync(dir).sort()
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT' || code === 'ENOTDIR') return []
    throw error
  }
}
