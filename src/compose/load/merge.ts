/** Merging of files, extended services and included projects: the later one over the earlier one, both in the long form. */
import { child, type ListNode, type MapNode, type Node, stringOf } from './node.ts'
import type { Problem } from './problem.ts'

const pattern = (path: string): RegExp => new RegExp(`^${path.replaceAll('.', '\\.').replaceAll('*', '[^.]+')}$`)
const any = (...paths: string[]): ((path: string) => boolean) => {
  const patterns = paths.map(pattern)
  return (path) => patterns.some((p) => p.test(path))
}

/** Replaced as a whole; `null` takes the earlier value away. */
const replaced = any('services.*.command', 'services.*.entrypoint', 'services.*.healthcheck.test')
const replacedAlways = any(
  'services.*.post_start.*.command',
  'services.*.pre_stop.*.command',
  'services.*.develop.watch.*.exec.command',
)

const text = (node: Node, key: string): string => stringOf(child(node, key)) ?? ''
/** Lists whose items have an identity: the later item with the same one replaces the earlier, in its place. */
const identities: [(path: string) => boolean, (item: Node) => string][] = [
  [
    any('services.*.ports'),
    (p) => [text(p, 'host_ip'), text(p, 'published'), text(p, 'target'), text(p, 'protocol')].join('|'),
  ],
  [any('services.*.volumes', 'services.*.devices'), (m) => text(m, 'target')],
  [
    any('services.*.secrets', 'services.*.build.secrets'),
    (m) => (text(m, 'target') || text(m, 'source')).replace(/^\/run\/secrets\//, ''),
  ],
  [any('services.*.configs'), (m) => text(m, 'target') || `/${text(m, 'source')}`],
  [any('services.*.env_file'), (m) => text(m, 'path')],
  [any('services.*.develop.watch'), (m) => `${text(m, 'path')}|${text(m, 'action')}|${text(m, 'target')}`],
  [any('networks.*.ipam.config'), (m) => text(m, 'subnet')],
  [
    any(
      ...[
        'cap_add',
        'cap_drop',
        'dns',
        'dns_opt',
        'dns_search',
        'expose',
        'external_links',
        'links',
        'group_add',
        'security_opt',
        'profiles',
        'volumes_from',
        'extra_hosts',
        'label_file',
        'device_cgroup_rules',
        'build.tags',
        'build.platforms',
        'build.entitlements',
        'build.cache_from',
        'networks.*.aliases',
        'networks.*.link_local_ips',
      ].map((key) => `services.*.${key}`),
    ),
    (item) => stringOf(item) ?? '',
  ],
  [any('services.*.tmpfs'), (item) => (stringOf(item) ?? '').split(':')[0]!],
]

/** `over` merged onto `base`. undefined: nothing is left of it. */
export const merge = (base: Node | undefined, over: Node, path: string, problem: Problem): Node | undefined => {
  if (over.tag === 'reset') return undefined
  if (over.tag === 'override' || !base) return unify(settle(over, path, problem), path)
  if (over.kind === 'scalar' && over.value === null) return replaced(path) ? undefined : base
  if (replaced(path) || replacedAlways(path)) return over
  if (base.kind === 'scalar' && base.value === null) return unify(settle(over, path, problem), path)
  if (base.kind === 'map' && over.kind === 'map') return mergeMaps(base, over, path, problem)
  if (base.kind === 'list' && over.kind === 'list')
    return unify(settle({ ...over, items: [...base.items, ...over.items] }, path, problem), path)
  const scalars = base.kind === 'scalar' && over.kind === 'scalar'
  if (scalars || /^services\.[^.]+\.(ulimits\.[^.]+|gpus)$/.test(path)) return over
  throw problem(
    over.at,
    `${path}: cannot override ${words[base.kind]} with ${words[over.kind]}`,
    'Use !override to replace the earlier value.',
  )
}
const words = { scalar: 'a value', list: 'a list', map: 'a mapping' } as const

const mergeMaps = (base: MapNode, over: MapNode, path: string, problem: Problem): Node => {
  if (/^services\.[^.]+\.logging$/.test(path)) {
    const [before, after] = [text(base, 'driver'), text(over, 'driver')]
    if (before !== after && after !== '' && before !== '') return over
  }
  const entries = new Map(base.entries)
  for (const [key, value] of over.entries) {
    const merged = merge(entries.get(key), value, path ? `${path}.${key}` : key, problem)
    if (merged) entries.set(key, { ...merged, keyAt: merged.keyAt ?? value.keyAt })
    else entries.delete(key)
  }
  return { ...base, entries, at: over.at, keyAt: over.keyAt ?? base.keyAt }
}

/** Drops what is tagged `!reset` within a value that has nothing to merge with. */
const settle = (node: Node, path: string, problem: Problem): Node => {
  if (node.kind === 'scalar') return { ...node, tag: undefined }
  if (node.kind === 'list')
    return {
      ...node,
      tag: undefined,
      items: node.items.filter((item) => item.tag !== 'reset').map((item, i) => settle(item, `${path}.${i}`, problem)),
    }
  const entries = new Map<string, Node>()
  for (const [key, value] of node.entries) {
    const at = path ? `${path}.${key}` : key
    if (value.tag === 'reset' || (replaced(at) && value.kind === 'scalar' && value.value === null)) continue
    entries.set(key, unify(settle(value, at, problem), at))
  }
  return { ...node, tag: undefined, entries }
}

/** One item for each identity, the last one said, where the first one stood. */
const unify = (node: Node, path: string): Node => {
  if (node.kind !== 'list') return node
  const identity = identities.find(([matches]) => matches(path))?.[1]
  if (!identity) return node
  const items = new Map<string, Node>()
  for (const item of node.items) items.set(identity(item), item)
  return { ...node, items: [...items.values()] } satisfies ListNode
}
