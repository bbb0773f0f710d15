import { isIP } from 'node:net'

/** Is HOST or HOST:PORT this machine itself, by its spelling alone? */
export const isLoopback = (domain: string): boolean => {
  const host = domain.replace(/:\d+$/, '').replace(/^\[|\]$/g, '')
  return host === 'localhost' || host === '::1' || (isIP(host) === 4 && host.startsWith('127.'))
}
