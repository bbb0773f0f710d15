import { existsSync, readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { SlipwayError } from '../../errors.ts'
import { parseToml, type TomlTable, type TomlValue } from '../../lib/toml.ts'
import { knownAuthorities } from '../../lib/http/authorities.ts'
import type { Trust } from './http.ts'
import type { Origin } from './origins.ts'

/**
 * containerd's hosts.toml (docs/hosts.md): the hosts to ask for a registry's images, in the file's order, and at last its
 * `server`. undefined: there is no such file in the directory.
 */
export const hostsFile = (dir: string, upstream: URL): Origin[] | undefined => {
  const file = `${dir}/hosts.toml`
  if (!existsSync(file)) return undefined
  const document = parseToml(readFileSync(file, 'utf8'), file)
  const hosts = table(document.host ?? {}, 'host', file)
  const server = typeof document.server === 'string' ? urlOf(document.server, file) : upstream
  const found = Object.entries(hosts).map(([key, value]) => originOf(urlOf(key, file), table(value, key, file), file))
  // The server's own section may stand among the hosts; else what is said at the top of the file is about it.
  if (found.some((origin) => origin.url.href === server.href)) return found
  return [...found, { ...originOf(server, document, file), mirror: false }].map((origin) =>
    origin.url.host === server.host ? { ...origin, mirror: false } : origin,
  )
}

const originOf = (url: URL, section: TomlTable, file: string): Origin => {
  const capabilities =
    section.capabilities === undefined ? undefined : strings(section.capabilities, 'capabilities', file)
  const headers = Object.entries(section.header === undefined ? {} : table(section.header, 'header', file))
  return {
    url,
    trust: trustOf(section, file),
    mirror: true,
    // One that ends in /v2 is not given another.
    ...((section.override_path === true || url.pathname.endsWith('/v2/')) && { wholePath: true }),
    ...(headers.length > 0 && {
      headers: Object.fromEntries(headers.map(([name, value]) => [name, strings(value, name, file).join(', ')])),
    }),
    ...(capabilities && {
      pulls: capabilities.includes('pull'),
      resolves: capabilities.includes('resolve'),
      pushes: capabilities.includes('push'),
    }),
  }
}

const trustOf = (section: TomlTable, file: string): Trust => {
  const read = (name: string): string => {
    const path = resolve(file, '..', name)
    try {
      return readFileSync(path, 'utf8')
    } catch (cause) {
      throw new SlipwayError('invalid', `${file}: cannot read ${path}: ${(cause as Error).message}`, { cause })
    }
  }
  const ca = section.ca === undefined ? [] : strings(section.ca, 'ca', file).map(read)
  const { client } = section
  // "both.pem", ["cert", "key"], or a list of pairs; the first is used.
  const pair = Array.isArray(client) && Array.isArray(client[0]) ? client[0] : client
  const [cert, key] = pair === undefined ? [] : strings(pair, 'client', file)
  return {
    ...(ca.length > 0 && { ca: [...knownAuthorities(), ...ca] }),
    ...(cert !== undefined && { cert: read(cert), key: read(key ?? cert) }),
    ...(section.skip_verify === true && { insecure: true }),
  }
}

const urlOf = (text: string, file: string): URL => {
  const url = URL.parse(text.includes('://') ? text : `https://${text}`)
  if (!url || !/^https?:$/.test(url.protocol))
    throw new SlipwayError('invalid', `${file}: "${text}" is no address of a registry`)
  if (!url.pathname.endsWith('/')) url.pathname += '/'
  return url
}

const table = (value: TomlValue, what: string, file: string): TomlTable => {
  if (typeof value === 'object' && !Array.isArray(value)) return value
  throw new SlipwayError('invalid', `${file}: "${what}" must be a table`)
}
const strings = (value: TomlValue, what: string, file: string): string[] => {
  const list = Array.isArray(value) ? value : [value]
  if (list.every((each) => typeof each === 'string')) return list
  throw new SlipwayError('invalid', `${file}: "${what}" must be text or a list of texts`)
}
