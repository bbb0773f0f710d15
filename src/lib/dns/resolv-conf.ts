/** /etc/resolv.conf, as in resolv.conf(5). */
import { readFileSync } from 'node:fs'

export interface ResolvConf {
  servers: string[]
  searches: string[]
  options: string[]
}

export const parseResolvConf = (text: string): ResolvConf => {
  const result: ResolvConf = { servers: [], searches: [], options: [] }
  for (const line of text.split('\n')) {
    const [word, ...rest] = line
      .replace(/[#;].*/, '')
      .trim()
      .split(/\s+/)
    if (word === 'nameserver' && rest[0] !== undefined) result.servers.push(rest[0])
    // The last of search and domain wins.
    if (word === 'search' || word === 'domain') result.searches = rest
    if (word === 'options') result.options.push(...rest)
  }
  return result
}

/** This machine's now; nothing where it has none. */
export const readResolvConf = (path = '/etc/resolv.conf'): ResolvConf => {
  let text = ''
  try {
    text = readFileSync(path, 'utf8')
  } catch {
    // No file: nobody to ask.
  }
  return parseResolvConf(text)
}

export const formatResolvConf = ({ servers, searches, options }: ResolvConf): string =>
  [
    ...servers.map((server) => `nameserver ${server}`),
    ...(searches.length > 0 ? [`search ${searches.join(' ')}`] : []),
    ...(options.length > 0 ? [`options ${options.join(' ')}`] : []),
    '',
  ].join('\n')

/** A loopback address leads nowhere from inside another network namespace. */
export const isLoopback = (server: string): boolean => server.startsWith('127.') || server === '::1'
