import { existsSync, readFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { delimiter, dirname, join, resolve } from 'node:path'
import { messageOf, SlipwayError } from '../../errors.ts'
import type { HttpConfig, RunProgram } from './config.ts'
import { type ExecPlugin, execCredentials } from './exec-plugin.ts'

interface KubeconfigOptions {
  /** Only this file; it must exist. Default: the list in KUBECONFIG, else ~/.kube/config. */
  path?: string | undefined
  /** Default: current-context. */
  context?: string | undefined
  env: Record<string, string | undefined>
  /** Runs exec plugins. Without it contexts that need one are refused. */
  run?: RunProgram | undefined
}

interface Cluster {
  server?: string
  'certificate-authority'?: string
  'certificate-authority-data'?: string
  'insecure-skip-tls-verify'?: boolean
  'tls-server-name'?: string
  'proxy-url'?: string
}
interface AuthInfo {
  'client-certificate'?: string
  'client-certificate-data'?: string
  'client-key'?: string
  'client-key-data'?: string
  token?: string
  tokenFile?: string
  username?: string
  password?: string
  exec?: ExecPlugin
  'auth-provider'?: { name?: string }
  as?: string
  'as-uid'?: string
  'as-groups'?: string[]
  'as-user-extra'?: Record<string, string[]>
}
interface ContextEntry {
  cluster?: string
  user?: string
  namespace?: string
}
/** Something a file defines, and the folder its relative paths start from. */
interface Found<T> {
  value: T
  folder: string
}
interface Merged {
  files: string[]
  current: string | undefined
  clusters: Map<string, Found<Cluster>>
  users: Map<string, Found<AuthInfo>>
  contexts: Map<string, Found<ContextEntry>>
}
interface File {
  'current-context'?: string
  clusters?: { name: string; cluster?: Cluster }[]
  users?: { name: string; user?: AuthInfo }[]
  contexts?: { name: string; context?: ContextEntry }[]
}

const filesOf = ({ path, env }: KubeconfigOptions): string[] => {
  if (path) {
    if (!existsSync(path)) throw new SlipwayError('not-found', `stat ${path}: no such file or directory`)
    return [path]
  }
  const listed = (env.KUBECONFIG ?? '').split(delimiter).filter(Boolean)
  const all = listed.length ? [...new Set(listed)] : [join(env.HOME ?? homedir(), '.kube', 'config')]
  return all.filter((file) => existsSync(file))
}

/** As kubectl merges: the first file to define a name wins, and so does the first current-context. */
const merge = async (files: string[]): Promise<Merged> => {
  const { parse } = await import('yaml')
  const merged: Merged = { files, current: undefined, clusters: new Map(), users: new Map(), contexts: new Map() }
  for (const file of files) {
    let content: File
    try {
      content = (parse(readFileSync(file, 'utf8')) ?? {}) as File
    } catch (cause) {
      throw new SlipwayError('bad-request', `error loading config file "${file}": ${messageOf(cause)}`, { cause })
    }
    const folder = dirname(resolve(file))
    const add = <T>(into: Map<string, Found<T>>, name: string, value: T | undefined): void => {
      if (!into.has(name)) into.set(name, { value: value ?? ({} as T), folder })
    }
    merged.current ||= content['current-context']
    for (const { name, cluster } of content.clusters ?? []) add(merged.clusters, name, cluster)
    for (const { name, user } of content.users ?? []) add(merged.users, name, user)
    for (const { name, context } of content.contexts ?? []) add(merged.contexts, name, context)
  }
  return merged
}

/** Text that is given inline as base64, or in a file. */
const material = (data: string | undefined, file: string | undefined, folder: string): string | undefined => {
  if (data) return Buffer.from(data, 'base64').toString('utf8')
  if (!file) return undefined
  const path = resolve(folder, file)
  try {
    return readFileSync(path, 'utf8')
  } catch (cause) {
    throw new SlipwayError('not-found', `unable to read ${path}: ${messageOf(cause)}`, { cause })
  }
}

/** Tokens in files are rotated by others: read again after a minute, or when the server refuses the last. */
const tokenFile = (path: string): NonNullable<HttpConfig['credentials']> => {
  let last: { token: string; at: number } | undefined
  return async (again) => {
    if (!last || again || Date.now() - last.at > 60_000) {
      last = { token: material(undefined, path, '/')!.trim(), at: Date.now() }
    }
    return { token: last.token }
  }
}

const identityOf = (
  name: string,
  user: Found<AuthInfo> | undefined,
  cluster: Cluster,
  { env, run }: KubeconfigOptions,
): Partial<HttpConfig> => {
  if (!user) return {}
  const { value, folder } = user
  if (value['auth-provider']) {
    throw new SlipwayError(
      'unsupported',
      `user "${name}": no Auth Provider found for name "${value['auth-provider'].name}"`,
      {
        hint: 'Auth providers were removed from Kubernetes in 1.26; use an exec plugin instead.',
      },
    )
  }
  const { as: impersonated } = value
  const credentials = value.exec
    ? execCredentials(value.exec, { folder, env, run, cluster: { ...cluster } })
    : value.tokenFile
      ? tokenFile(resolve(folder, value.tokenFile))
      : undefined
  return {
    cert: material(value['client-certificate-data'], value['client-certificate'], folder),
    key: material(value['client-key-data'], value['client-key'], folder),
    token: value.token,
    ...(value.username && { basic: { username: value.username, password: value.password ?? '' } }),
    ...(impersonated && {
      impersonate: {
        user: impersonated,
        groups: value['as-groups'] ?? [],
        uid: value['as-uid'],
        extra: value['as-user-extra'] ?? {},
      },
    }),
    credentials,
  }
}

/**
 * Reads a kubeconfig as kubectl does. 'not-found' when there is no such context (the hint lists those there are),
 * 'unsupported' for what we cannot do (proxy-url, auth providers).
 */
export const loadKubeconfig = async (options: KubeconfigOptions): Promise<HttpConfig> => {
  const merged = await merge(filesOf(options))
  const known = [...merged.contexts.keys()]
  const hint = known.length
    ? `Contexts in ${merged.files.join(', ')}: ${known.join(', ')}.`
    : `No contexts are defined${merged.files.length ? ` in ${merged.files.join(', ')}` : ': there is no kubeconfig file'}.`
  const name = options.context || merged.current
  if (!name) throw new SlipwayError('not-found', 'current-context is not set', { hint })
  const context = merged.contexts.get(name)?.value
  if (!context) throw new SlipwayError('not-found', `context "${name}" does not exist`, { hint })
  const cluster = merged.clusters.get(context.cluster ?? '')
  if (!cluster?.value.server) {
    throw new SlipwayError(
      'not-found',
      `cluster "${context.cluster ?? ''}" of context "${name}" does not exist or names no server`,
    )
  }
  const { value, folder } = cluster
  if (value['proxy-url']) {
    throw new SlipwayError('unsupported', `cluster "${context.cluster}": proxy-url is not supported`, {
      hint: 'Connect without a proxy, or open a tunnel and point a context at it.',
    })
  }
  return {
    server: value.server,
    ca: material(value['certificate-authority-data'], value['certificate-authority'], folder),
    insecureSkipTlsVerify: value['insecure-skip-tls-verify'],
    serverName: value['tls-server-name'],
    ...identityOf(context.user ?? '', merged.users.get(context.user ?? ''), value, options),
    context: name,
    namespace: context.namespace,
  }
}
