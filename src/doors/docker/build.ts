/** POST /build: the classic builder's endpoint; its output is JSON lines with `stream`, `aux` and `errorDetail`. */
import type { RegistryAuth } from '../../engine/types.ts'
import { buildResources, parseGitAddress } from '../../build/index.ts'
import type { Builder, BuildRequest } from '../../build/types.ts'
import { messageOf, SlipwayError } from '../../errors.ts'
import { registryOfKey } from '../../spec/docker/config.ts'
import { familiarName, parseReference } from '../../spec/oci/index.ts'
import { classicOutput } from './build-output.ts'
import { limitsIn } from './build-resources.ts'
import { extraHost } from './container-checks.ts'
import { isTrue } from './filters.ts'
import { lines } from './images.ts'
import { configOf } from './registry-auth.ts'
import { type Exchange, type Handler, type Route, route, textOf } from './server.ts'
import { fit, type Shape, struct } from '../../lib/shape.ts'

export const buildRoutes = (builder: Pick<Builder, 'build'>, buildkit: { build: Handler }): Route[] => [
  route('POST', '/build', (x) => (x.query.get('version') === '2' ? buildkit.build(x) : build(builder, x))),
]

const jsonQuery = <T>(x: Exchange, name: string, shape: Shape, empty: T): T => {
  const text = x.query.get(name)
  if (!text) return empty
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (cause) {
    throw new SlipwayError('bad-request', `error reading ${name}: not JSON`, { cause })
  }
  return fit<T | undefined>(shape, value) ?? empty
}
const texts: Shape = { map: 'string' }
const limits: Shape = { list: struct('Ulimit', { string: 'Name', int64: 'Soft Hard' }) }

/** What the image is to be called; nothing is built for a name that none can have. */
const tagsOf = (x: Exchange): string[] => {
  const tags = x.query.getAll('t').filter(Boolean)
  for (const tag of tags)
    if (parseReference(tag).digest !== undefined)
      throw new SlipwayError('bad-request', 'build tag cannot contain a digest')
  return [...new Set(tags)]
}

/** Bytes; 0 is the default. */
const shmSizeOf = (x: Exchange): { shmSize?: number } => {
  const text = x.query.get('shmsize') || '0'
  if (!/^\d+$/.test(text)) throw new SlipwayError('bad-request', `invalid shmsize: ${text}`)
  return Number(text) > 0 ? { shmSize: Number(text) } : {}
}

const build = async (builder: Pick<Builder, 'build'>, x: Exchange): Promise<void> => {
  const out = lines(x)
  const quiet = isTrue(x.query.get('q'))
  const text = classicOutput()
  const print = (pieces: string[]): void => {
    if (!quiet) for (const stream of pieces) out.line({ stream })
  }
  try {
    const { image } = await builder.build({
      ...requestOf(x),
      signal: x.signal,
      progress: (event) => print(text.event(event)),
    })
    print(text.end(image.id.slice(7, 19)))
    out.line({ aux: { ID: image.id } })
    if (quiet) out.line({ stream: `${image.id}\n` })
    else {
      out.line({ stream: `Successfully built ${image.id.slice(7, 19)}\n` })
      for (const tag of tagsOf(x)) out.line({ stream: `Successfully tagged ${familiarTag(tag)}\n` })
    }
    out.end()
  } catch (error) {
    if (x.signal.aborted) return
    print(text.end(undefined))
    const { message, code } = failureOf(error)
    if (!out.begun) throw error
    out.line({ errorDetail: { ...(code === undefined ? {} : { code }), message }, error: message })
    out.end()
  }
}

/** With its tag, also where none was given. */
const familiarTag = (name: string): string => {
  const { tag } = parseReference(name)
  return tag === undefined ? `${familiarName(name)}:latest` : familiarName(name)
}

/** In the classic builder's words: a command that failed is named with its exit code. */
const failureOf = (error: unknown): { message: string; code?: number } => {
  const details = error instanceof SlipwayError ? (error.details as { exitCode?: number } | undefined) : undefined
  const code = details?.exitCode
  const quoted = /^process (".*") did not complete successfully: exit code: \d+$/s.exec(messageOf(error))?.[1]
  if (code === undefined || quoted === undefined) return { message: textOf(error) }
  return { message: `The command '${JSON.parse(quoted) as string}' returned a non-zero code: ${code}`, code }
}

const requestOf = (x: Exchange): Omit<BuildRequest, 'progress' | 'signal'> => {
  const args = Object.entries(jsonQuery<Record<string, string | null>>(x, 'buildargs', texts, {})).filter(
    (e): e is [string, string] => e[1] !== null,
  )
  const network = x.query.get('networkmode')
  const auths = registryConfig(x.headers['x-registry-config'])
  const resources = limitsIn(x.query)
  return {
    context: contextOf(x),
    dockerfile: { path: x.query.get('dockerfile') || 'Dockerfile' },
    target: x.query.get('target') || undefined,
    args: Object.fromEntries(args),
    labels: Object.fromEntries(
      Object.entries(jsonQuery<Record<string, string | null>>(x, 'labels', texts, {})).map(([key, value]) => [
        key,
        value ?? '',
      ]),
    ),
    tags: tagsOf(x),
    platform: x.query.get('platform') || undefined,
    noCache: isTrue(x.query.get('nocache')),
    pull: isTrue(x.query.get('pull')),
    network: network || 'default',
    cgroupParent: x.query.get('cgroupparent') || undefined,
    cacheFrom: jsonQuery<string[]>(x, 'cachefrom', { list: 'string' }, []).map((ref) => ({
      type: 'registry',
      attrs: { ref },
    })),
    extraHosts: x.query
      .getAll('extrahosts')
      .flatMap((lines) => lines.split(','))
      .filter(Boolean)
      .map(extraHost),
    ...shmSizeOf(x),
    ulimits: jsonQuery<{ Name?: string; Soft?: number; Hard?: number }[]>(x, 'ulimits', limits, []).map(
      ({ Name = '', Soft = 0, Hard = 0 }) => ({ name: Name, soft: Soft, hard: Hard }),
    ),
    resources: buildResources((name) => resources[name]),
    auth: (registry) => auths[registry],
  }
}

const contextOf = (x: Exchange): BuildRequest['context'] => {
  const remote = x.query.get('remote')
  if (!remote) return { tar: x.upload() }
  if (parseGitAddress(remote)) return { git: remote }
  if (/^https?:\/\//.test(remote)) return { url: remote }
  throw new SlipwayError('bad-request', `remote ${remote} could not be processed: unsupported scheme`)
}

const registryConfig = (header: string | string[] | undefined): Record<string, RegistryAuth | undefined> =>
  Object.fromEntries(configOf(header).map(([host, auth]) => [registryOfKey(host), auth]))
