/** A Dockerfile frontend's attributes as a request to the builder. */
import type { Readable } from 'node:stream'
import { buildResources, parseGitAddress } from '../../../build/index.ts'
import type { BuildRequest, CacheEntry, ContentStore, GitContext, RemoteDirectory } from '../../../build/types.ts'
import { SlipwayError } from '../../../errors.ts'
import { isUpload } from './upload.ts'

/** Contexts that clients have defined: the build's own, and named ones by their attribute. */
export interface ContextInputs {
  context?: GitContext | { url: string }
  named: Record<string, GitContext | string>
}
type FrontendRequest = Omit<BuildRequest, 'progress' | 'signal' | 'tags'>

/** Attributes as `docker buildx build` sends them (frontend/dockerui and dockerfile.v0 document them). */
export const requestOf = (
  attrs: Readonly<Record<string, string>>,
  directory: (name: string) => RemoteDirectory,
  upload: (url: string) => Readable,
  layout: (id: string) => ContentStore,
  inputs: ContextInputs = { named: {} },
): FrontendRequest => {
  const noCache = attrs['no-cache']
  const network = attrs['force-network-mode']
  const shmSize = Number(attrs['shm-size'] ?? 0)
  return {
    ...contextOf(attrs, directory, upload, inputs.context),
    target: attrs.target || undefined,
    args: withPrefix(attrs, 'build-arg:'),
    labels: withPrefix(attrs, 'label:'),
    attest: withPrefix(attrs, 'attest:'),
    vcs: withPrefix(attrs, 'vcs:'),
    platforms: commaList(attrs.platform),
    noCache: noCache === '',
    ...(noCache ? { noCacheFilter: noCache.split(',') } : {}),
    pull: attrs['image-resolve-mode'] === 'pull',
    network: network === 'none' || network === 'host' ? network : 'default',
    extraHosts: commaList(attrs['add-hosts']).map((line) => hostOf(line)),
    ...(shmSize > 0 ? { shmSize } : {}),
    ulimits: commaList(attrs.ulimit).map(ulimit),
    resources: buildResources((name) => attrs[name]),
    hostname: attrs.hostname || undefined,
    automounts: Object.entries(withPrefix(attrs, 'automount:'))
      .sort(([one], [other]) => Number(one) - Number(other))
      .map(([, mount]) => mount),
    cgroupParent: attrs['cgroup-parent'] || undefined,
    contexts: Object.fromEntries(
      Object.entries(withPrefix(attrs, 'context:')).map(([name, value]) => [
        name,
        inputs.named[`context:${name}`] ?? namedContext(value, directory, layout),
      ]),
    ),
  }
}

const contextOf = (
  attrs: Readonly<Record<string, string>>,
  directory: (name: string) => RemoteDirectory,
  upload: (url: string) => Readable,
  input: ContextInputs['context'],
): Pick<FrontendRequest, 'context' | 'dockerfile'> => {
  const path = attrs.filename || 'Dockerfile'
  const url = attrs.context
  if (input) {
    const local = attrs.dockerfilekey === undefined ? {} : { remote: directory(attrs.dockerfilekey) }
    return { context: input, dockerfile: { ...local, path } }
  }
  if (isUpload(url)) {
    const local = attrs.dockerfilekey === undefined ? {} : { remote: directory(attrs.dockerfilekey) }
    return { context: { tar: upload(url) }, dockerfile: { ...local, path } }
  }
  if (url && (parseGitAddress(url) || /^https?:\/\//.test(url))) {
    const local = attrs.dockerfilekey === undefined ? {} : { remote: directory(attrs.dockerfilekey) }
    const context = parseGitAddress(url) ? { git: url } : { url }
    return { context, dockerfile: { ...local, path } }
  }
  if (url) throw new SlipwayError('unsupported', `building from ${url} is not supported`)
  return {
    context: { remote: directory(attrs.contextkey ?? 'context') },
    dockerfile: { remote: directory(attrs.dockerfilekey ?? 'dockerfile'), path },
  }
}

/** Where the frontend is told to look for caches: `cache-imports` is JSON, `cache-from` (of older clients) a list of references. */
export const cacheImportsOf = (attrs: Readonly<Record<string, string>>): Omit<CacheEntry, 'store'>[] => {
  const refs = commaList(attrs['cache-from']).map((ref) => ({ type: 'registry', attrs: { ref } }))
  const text = attrs['cache-imports']
  if (!text) return refs
  try {
    const entries = JSON.parse(text) as { Type?: string; Attrs?: Record<string, string> }[]
    return [...refs, ...entries.map(({ Type = '', Attrs = {} }) => ({ type: Type, attrs: Attrs }))]
  } catch (cause) {
    throw new SlipwayError('bad-request', 'failed to unmarshal cache-imports', { cause })
  }
}

const withPrefix = (attrs: Readonly<Record<string, string>>, prefix: string): Record<string, string> =>
  Object.fromEntries(
    Object.entries(attrs)
      .filter(([key]) => key.startsWith(prefix))
      .map(([key, value]) => [key.slice(prefix.length), value]),
  )

const namedContext = (
  value: string,
  directory: (name: string) => RemoteDirectory,
  layout: (id: string) => ContentStore,
): NonNullable<FrontendRequest['contexts']>[string] => {
  if (value.startsWith('local:')) return { remote: directory(value.slice('local:'.length)) }
  const [, id, digest] = /^oci-layout:(?:\/\/)?([^:@/]+)[^@]*@(sha256:[0-9a-f]{64})$/.exec(value) ?? []
  return id !== undefined && digest !== undefined ? { store: layout(id), digest } : value
}

const commaList = (text: string | undefined): string[] => (text ?? '').split(',').filter((item) => item !== '')

const hostOf = (line: string): { name: string; address: string } => {
  const at = line.search(/[=:]/)
  if (at < 0) throw new SlipwayError('bad-request', `invalid key-value pair ${line}`)
  return { name: line.slice(0, at), address: line.slice(at + 1) }
}

/** name=soft:hard */
const ulimit = (text: string): { name: string; soft: number; hard: number } => {
  const match = /^([a-z]+)=(-?\d+)(?::(-?\d+))?$/.exec(text)
  if (!match) throw new SlipwayError('bad-request', `invalid ulimit argument: ${text}`)
  return { name: match[1]!, soft: Number(match[2]), hard: Number(match[3] ?? match[2]) }
}
