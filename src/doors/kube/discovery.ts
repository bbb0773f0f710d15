/** Discovery in its three forms: aggregated (apidiscovery.k8s.io v2 and v2beta1) and the old lists of groups and resources. */
import { createHash } from 'node:crypto'
import type { ResourceInfo } from '../../cluster/types.ts'
import { accepts, parseAccept } from '../../lib/http/media.ts'

interface DiscoveryDocument {
  contentType: string
  body: string
  etag: string
}

interface GroupVersions {
  group: string
  /** Preferred first. */
  versions: Map<string, ResourceInfo[]>
}

/** v2 before v1 before v1beta1 before v1alpha1 (k8s.io/apimachinery version priority). */
const priority = (version: string): number => {
  const match = /^v(\d+)(?:(alpha|beta)(\d+))?$/.exec(version)
  if (!match) return -1
  const stage = match[2] === 'alpha' ? 0 : match[2] === 'beta' ? 1 : 2
  return stage * 1_000_000 + Number(match[1]) * 1000 + Number(match[3] ?? 0)
}
const groupsOf = (resources: readonly ResourceInfo[]): GroupVersions[] => {
  const groups = new Map<string, GroupVersions>()
  const sorted = [...resources].sort((a, b) => priority(b.kind.version) - priority(a.kind.version))
  for (const { kind } of resources) groups.set(kind.group, { group: kind.group, versions: new Map() })
  for (const resource of sorted) {
    const { versions } = groups.get(resource.kind.group)!
    versions.set(resource.kind.version, [...(versions.get(resource.kind.version) ?? []), resource])
  }
  return [...groups.values()]
}

const aggregatedResource = ({ kind, verbs, subresources }: ResourceInfo) => ({
  resource: kind.plural,
  responseKind: { group: kind.group, version: kind.version, kind: kind.kind },
  scope: kind.namespaced ? 'Namespaced' : 'Cluster',
  singularResource: kind.singular,
  verbs,
  ...(kind.shortNames.length && { shortNames: kind.shortNames }),
  ...(kind.categories.length && { categories: kind.categories }),
  ...(subresources.length && {
    subresources: subresources.map((s) => ({ subresource: s.name, responseKind: s.kind, verbs: s.verbs })),
  }),
})
const aggregated = (groups: GroupVersions[], version: string) => ({
  kind: 'APIGroupDiscoveryList',
  apiVersion: `apidiscovery.k8s.io/${version}`,
  metadata: {},
  items: groups.map(({ group, versions }) => ({
    metadata: { ...(group && { name: group }), creationTimestamp: null },
    versions: [...versions].map(([v, resources]) => ({
      version: v,
      resources: resources.map(aggregatedResource),
      freshness: 'Current',
    })),
  })),
})

const apiGroup = ({ group, versions }: GroupVersions) => {
  const list = [...versions.keys()].map((version) => ({ groupVersion: `${group}/${version}`, version }))
  return { name: group, versions: list, preferredVersion: list[0] }
}
/** The list of one group version's resources; subresources are entries of their own. */
const resourceList = (groupVersion: string, resources: readonly ResourceInfo[]) => ({
  kind: 'APIResourceList',
  apiVersion: 'v1',
  groupVersion,
  resources: resources.flatMap(({ kind, verbs, subresources }) => [
    {
      name: kind.plural,
      singularName: kind.singular,
      namespaced: kind.namespaced,
      kind: kind.kind,
      verbs,
      ...(kind.shortNames.length && { shortNames: kind.shortNames }),
      ...(kind.categories.length && { categories: kind.categories }),
    },
    ...subresources.map((s) => ({
      name: `${kind.plural}/${s.name}`,
      singularName: '',
      namespaced: kind.namespaced,
      ...((s.kind.group !== kind.group || s.kind.version !== kind.version) && {
        group: s.kind.group,
        version: s.kind.version,
      }),
      kind: s.kind.kind,
      verbs: s.verbs,
    })),
  ]),
})

/** Which aggregated version the client wants, if any and if better than plain JSON. */
const wantedVersion = (accept: string | undefined): 'v2' | 'v2beta1' | undefined => {
  for (const range of parseAccept(accept)) {
    const { as, g, v } = range.parameters
    if (as === 'APIGroupDiscoveryList' && g === 'apidiscovery.k8s.io' && (v === 'v2' || v === 'v2beta1')) return v
    if (!as && accepts(range, 'application/json')) return undefined
  }
  return undefined
}

const plainDocument = (path: string, groups: GroupVersions[], address: string): unknown => {
  const [root, group, version] = path.split('/').filter(Boolean)
  const core = groups.find((g) => g.group === '')
  if (root === 'api') {
    if (group === undefined) {
      return {
        kind: 'APIVersions',
        versions: [...(core?.versions.keys() ?? [])],
        serverAddressByClientCIDRs: [{ clientCIDR: '0.0.0.0/0', serverAddress: address }],
      }
    }
    const resources = core?.versions.get(group)
    return resources && version === undefined ? resourceList(group, resources) : undefined
  }
  const named = groups.filter((g) => g.group !== '')
  if (group === undefined) return { kind: 'APIGroupList', apiVersion: 'v1', groups: named.map(apiGroup) }
  const found = named.find((g) => g.group === group)
  if (!found) return undefined
  if (version === undefined) return { kind: 'APIGroup', apiVersion: 'v1', ...apiGroup(found) }
  const resources = found.versions.get(version)
  return resources && resourceList(`${group}/${version}`, resources)
}

/** The document at /api, /apis, /api/v1, /apis/GROUP or /apis/GROUP/VERSION; undefined: there is none. */
export const discovery = (
  path: string,
  accept: string | undefined,
  resources: readonly ResourceInfo[],
  address: string,
): DiscoveryDocument | undefined => {
  const groups = groupsOf(resources)
  const root = path.replace(/\/+$/, '')
  const version = root === '/api' || root === '/apis' ? wantedVersion(accept) : undefined
  const document = version
    ? aggregated(
        groups.filter((g) => (g.group === '') === (root === '/api')),
        version,
      )
    : plainDocument(root, groups, address)
  if (!document) return undefined
  const body = JSON.stringify(document)
  return {
    contentType: version
      ? `application/json;g=apidiscovery.k8s.io;v=${version};as=APIGroupDiscoveryList`
      : 'application/json',
    body: body + '\n',
    etag: createHash('sha256').update(body).digest('hex').toUpperCase(),
  }
}
