/** Short forms to long ones, place by place. Works on one file before it is merged, so that merging sees one form only. */
import { posix } from 'node:path'
import { shellWords, UnclosedQuote } from '../../lib/shell-words.ts'
import { parseDuration } from '../../spec/compose/units.ts'
import { parseMount } from './mounts.ts'
import { listOf, type MapNode, mapOf, type Node, scalar, textOf } from './node.ts'
import { parsePort } from './ports.ts'
import type { Problem } from './problem.ts'

type Rule = (node: Node, context: Context) => Node | Node[]
interface Context {
  problem: Problem
  path: string
}

/** A value as nodes that all sit where `at` is. */
const fromPlain = (value: unknown, at: Node): Node => {
  if (Array.isArray(value))
    return listOf(
      value.map((item) => fromPlain(item, at)),
      at,
    )
  if (typeof value === 'object' && value !== null)
    return mapOf(
      Object.entries(value)
        .filter(([, v]) => v !== undefined)
        .map(([k, v]) => [k, fromPlain(v, at)]),
      at,
    )
  return scalar(value as string, at)
}

const toList: Rule = (node) => (node.kind === 'scalar' ? listOf([untagged(node)], node) : node)
const untagged = (node: Node): Node => ({ ...node, tag: undefined })

/** ["KEY=value", "KEY"] → {KEY: value, KEY: null} */
const toMap =
  (bare: string | null = null, separator = '='): Rule =>
  (node) => {
    if (node.kind !== 'list') return node
    const entries = node.items.map((item): [string, Node] => {
      const text = item.kind === 'scalar' ? textOf(item) : ''
      const cut = text.indexOf(separator)
      return cut === -1
        ? [text, scalar(bare, { at: item.at, keyAt: item.at })]
        : [text.slice(0, cut), scalar(text.slice(cut + 1), { at: item.at, keyAt: item.at })]
    })
    return mapOf(entries, node)
  }
const names =
  (value: unknown): Rule =>
  (node) =>
    node.kind === 'list'
      ? mapOf(
          node.items.map((item) => [
            item.kind === 'scalar' ? textOf(item) : '',
            { ...fromPlain(value, item), keyAt: item.at },
          ]),
          node,
        )
      : node

const words: Rule = (node, { problem, path }) => {
  if (node.kind !== 'scalar' || node.value === null) return node
  try {
    return listOf(
      shellWords(textOf(node)).map((word) => scalar(word, { at: node.at })),
      node,
    )
  } catch (error) {
    if (error instanceof UnclosedQuote) throw problem(node.at, `${path}: invalid command line string: ${error.message}`)
    throw error
  }
}
const test: Rule = (node, { problem, path }) => {
  if (node.kind === 'scalar')
    return node.value === null ? node : fromPlain(textOf(node) === '' ? [] : ['CMD-SHELL', textOf(node)], node)
  const first = node.kind === 'list' ? node.items[0] : undefined
  if (first && !['CMD', 'CMD-SHELL', 'NONE'].includes(first.kind === 'scalar' ? textOf(first) : ''))
    throw problem(first.at, `${path} must start either by "CMD", "CMD-SHELL" or "NONE"`)
  return node
}
const longForm =
  (key: string, more: object = {}): Rule =>
  (node) =>
    node.kind === 'scalar' ? fromPlain({ [key]: textOf(node), ...more }, node) : node
const defaults =
  (values: Record<string, unknown>): Rule =>
  (node) =>
    node.kind === 'map'
      ? mapOf(
          [
            ...Object.entries(values)
              .filter(([k]) => !node.entries.has(k))
              .map(([k, v]) => [k, fromPlain(v, { ...node, tag: undefined })] as const),
            ...node.entries,
          ],
          node,
        )
      : node
const device: Rule = (node) => {
  if (node.kind === 'scalar') {
    const [source = '', target, permissions] = textOf(node).split(':')
    return fromPlain({ source, target: target ?? source, permissions: permissions ?? 'rwm' }, node)
  }
  const source = node.kind === 'map' ? node.entries.get('source') : undefined
  return defaults({ ...(source?.kind === 'scalar' && { target: source.value }), permissions: 'rwm' })(node, undefined!)
}
const port: Rule = (node, { problem, path }) => {
  if (node.kind !== 'scalar') return defaults({ mode: 'ingress', protocol: 'tcp' })(node, undefined!)
  const text = textOf(node)
  if (text.includes('$')) return node
  const ports = parsePort(text)
  if (typeof ports === 'string')
    throw problem(
      node.at,
      `${path}: ${ports}`,
      'Ports are written [[IP:]HOST:]CONTAINER[/PROTOCOL], for example "127.0.0.1:8080:80".',
    )
  return ports.map((p) => fromPlain(p, node))
}
const mount: Rule = (node, { problem, path }) => {
  if (node.kind !== 'scalar') {
    const target = node.kind === 'map' ? node.entries.get('target') : undefined
    if (target?.kind !== 'scalar' || !textOf(target).startsWith('/')) return node
    const entries = new Map((node as MapNode).entries)
    return {
      ...(node as MapNode),
      entries: entries.set('target', { ...target, value: posix.normalize(textOf(target)).replace(/(.)\/+$/, '$1') }),
    }
  }
  const text = textOf(node)
  if (text.includes('$')) return node
  const parsed = parseMount(text)
  if (typeof parsed === 'string')
    throw problem(node.at, `${path}: ${parsed}`, 'Volumes are written [SOURCE:]TARGET[:ro].')
  return fromPlain(parsed, node)
}
/** {host: ip, host: [ip, ip]} or ["host:ip", "host=ip"] → ["host=ip"] */
const extraHosts: Rule = (node, { problem, path }) => {
  if (node.kind === 'scalar') return node
  const pairs: [string, string, Node][] = []
  if (node.kind === 'map')
    for (const [host, value] of node.entries)
      for (const item of value.kind === 'list' ? value.items : [value])
        pairs.push([host, item.kind === 'scalar' ? textOf(item) : '', item])
  else
    for (const item of node.items) {
      const text = item.kind === 'scalar' ? textOf(item) : ''
      const match = /^([^:=]+)[:=](.+)$/.exec(text)
      if (!match) throw problem(item.at, `${path}: invalid additional host, missing IP: ${text}`)
      pairs.push([match[1]!, match[2]!, item])
    }
  return listOf(
    pairs.map(([host, ip, at]) => scalar(`${host}=${ip.replace(/^\[|\]$/g, '')}`, { at: at.at })),
    node,
  )
}
const external: Rule = (node) => {
  if (node.kind !== 'map') return node
  const given = node.entries.get('external')
  if (given?.kind !== 'map') return node
  const entries = new Map(node.entries).set('external', scalar(true, given))
  const name = given.entries.get('name')
  if (name && !entries.has('name')) entries.set('name', name)
  return { ...node, entries }
}
const microseconds: Rule = (node) => {
  if (node.kind !== 'scalar' || typeof node.value !== 'string') return node
  const plain = Number(node.value)
  const value = Number.isNaN(plain) ? (parseDuration(node.value) ?? 0) * 1000 : plain
  return scalar(value, node)
}
const keepAll: Rule = (node) =>
  node.kind === 'scalar' && textOf(node) !== 'all' ? scalar(Number(textOf(node)), node) : node

const build = 'services.*.build'
/** In this order; `*` stands for any key or item. */
const rules: [string, Rule][] = [
  [build, longForm('context')],
  ...['args', 'ssh', 'labels', 'additional_contexts'].map((key): [string, Rule] => [`${build}.${key}`, toMap()]),
  [`${build}.ssh`, (node, context) => (node.kind === 'scalar' ? toMap()(listOf([node], node), context) : node)],
  [`${build}.no_cache_filter`, toList],
  [`${build}.extra_hosts`, extraHosts],
  [`${build}.secrets.*`, longForm('source')],
  ...[
    'command',
    'entrypoint',
    'pre_start.*.command',
    'post_start.*.command',
    'pre_stop.*.command',
    'develop.watch.*.exec.command',
  ].map((key): [string, Rule] => [`services.*.${key}`, words]),
  ...['pre_start', 'post_start', 'pre_stop'].map((key): [string, Rule] => [`services.*.${key}.*.environment`, toMap()]),
  ['services.*.healthcheck.test', test],
  ['services.*.secrets.*', longForm('source')],
  ['services.*.configs.*', longForm('source')],
  ['services.*.depends_on', names({ condition: 'service_started', required: true })],
  ['services.*.depends_on.*', defaults({ required: true })],
  ['services.*.devices.*', device],
  ...[
    'dns',
    'dns_search',
    'tmpfs',
    'label_file',
    'env_file',
    'x-slipway.host',
    'develop.watch.*.ignore',
    'develop.watch.*.include',
  ].map((key): [string, Rule] => [`services.*.${key}`, toList]),
  ['services.*.env_file.*', longForm('path')],
  ['services.*.env_file.*', defaults({ required: true })],
  ...['environment', 'labels', 'annotations', 'sysctls', 'deploy.labels', 'volumes.*.volume.labels'].map(
    (key): [string, Rule] => [`services.*.${key}`, toMap(key === 'environment' ? null : '')],
  ),
  ['services.*.extends', longForm('service')],
  ['services.*.extra_hosts', extraHosts],
  ['services.*.networks', names(null)],
  ['services.*.models', names(null)],
  ['services.*.ports.*', port],
  ['services.*.volumes.*', mount],
  ['services.*.cpu_rt_period', microseconds],
  ['services.*.cpu_rt_runtime', microseconds],
  ['services.*.gpus.*.count', keepAll],
  ['services.*.deploy.resources.reservations.devices.*.count', keepAll],
  ['services.*.gpus.*.options', toMap('')],
  ['services.*.deploy.resources.reservations.devices.*.options', toMap('')],
  ...['networks.*', 'volumes.*', 'secrets.*', 'configs.*'].flatMap((key): [string, Rule][] => [
    [key, external],
    [`${key}.labels`, toMap('')],
  ]),
  ['include.*', longForm('path')],
  ['include.*.path', toList],
  ['include.*.env_file', toList],
]

/** The tree with every short form written out. */
export const canonical = (tree: MapNode, problem: Problem): MapNode =>
  rules.reduce((node, [path, rule]) => apply(node, path.split('.'), '', rule, problem), tree as Node) as MapNode

const apply = (node: Node, path: string[], at: string, rule: Rule, problem: Problem): Node => {
  if (node.tag === 'reset') return node
  const [step, ...rest] = path
  if (step === undefined) {
    const result = rule(node, { problem, path: at })
    return Array.isArray(result) ? listOf(result, node) : result
  }
  const below = (key: string | number): string => (at ? `${at}.${key}` : String(key))
  if (node.kind === 'list' && step === '*') {
    const items = node.items.flatMap((item, i) => {
      if (rest.length || item.tag === 'reset') return [apply(item, rest, below(i), rule, problem)]
      const result = rule(item, { problem, path: below(i) })
      return Array.isArray(result) ? result : [result]
    })
    return { ...node, items }
  }
  if (node.kind !== 'map') return node
  if (step !== '*' && !node.entries.has(step)) return node
  const entries = new Map<string, Node>()
  for (const [key, value] of node.entries) {
    const hit = step === '*' || key === step
    entries.set(key, hit ? keepKey(apply(value, rest, below(key), rule, problem), value) : value)
  }
  return { ...node, entries }
}
const keepKey = (node: Node, before: Node): Node => ({ ...node, keyAt: before.keyAt, tag: before.tag })
