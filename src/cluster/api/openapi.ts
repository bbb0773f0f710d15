/**
 * OpenAPI v3, one document per group version, from the fact tables: enough for kubectl's apply, explain and diff, for Helm and
 * for client generators. Made on first use, kept until the set of resources changes.
 */
import { createHash } from 'node:crypto'
import { type Definition, definitionName, kubeDefinitions } from '../../spec/kube/schema.ts'
import type { Registry, Resource } from './resource.ts'

type Json = Record<string, unknown>

const pathOf = (r: Pick<Resource, 'group' | 'version'>): string =>
  r.group ? `apis/${r.group}/${r.version}` : `api/${r.version}`
const ref = (name: string): Json => ({ $ref: `#/components/schemas/${name}` })
const oldRef = (d: Definition): string | undefined => (d.$ref ?? d.allOf?.[0]?.$ref)?.replace('#/definitions/', '')

/** A definition in the terms of OpenAPI v3: references move, and may have no siblings. */
const schemaV3 = (d: Definition, seen: (name: string) => void): Json => {
  const name = oldRef(d)
  const { $ref: _r, allOf: _a, properties, items, additionalProperties, ...rest } = d
  if (name) {
    seen(name)
    return Object.keys(rest).length > 0 ? { ...rest, allOf: [ref(name)] } : ref(name)
  }
  if (d.format === 'int-or-string') return { format: 'int-or-string', oneOf: [{ type: 'integer' }, { type: 'string' }] }
  const result: Json = { ...rest }
  if (properties)
    result.properties = Object.fromEntries(Object.entries(properties).map(([key, p]) => [key, schemaV3(p, seen)]))
  if (items) result.items = schemaV3(items, seen)
  if (additionalProperties)
    result.additionalProperties =
      typeof additionalProperties === 'object' ? schemaV3(additionalProperties, seen) : additionalProperties
  return result
}
const quantity = 'io.k8s.apimachinery.pkg.api.resource.Quantity'

/** The named definitions and all that they refer to. */
const closure = (roots: Iterable<string>): Json => {
  const definitions = kubeDefinitions()
  const schemas: Json = {}
  const open = [...roots]
  for (let name = open.pop(); name !== undefined; name = open.pop()) {
    const definition = definitions[name]
    if (!definition || name in schemas) continue
    schemas[name] =
      name === quantity
        ? { oneOf: [{ type: 'string' }, { type: 'number' }] }
        : schemaV3(definition, (next) => open.push(next))
  }
  return Object.fromEntries(Object.entries(schemas).sort(([a], [b]) => (a < b ? -1 : 1)))
}

const query = (name: string, type = 'string'): Json => ({ name, in: 'query', schema: { type, uniqueItems: true } })
const listParameters = [
  'allowWatchBookmarks:boolean',
  'continue',
  'fieldSelector',
  'labelSelector',
  'limit:integer',
  'resourceVersion',
  'resourceVersionMatch',
  'sendInitialEvents:boolean',
  'timeoutSeconds:integer',
  'watch:boolean',
].map((text) => query(...(text.split(':') as [string, string?])))
const writeParameters = [query('dryRun'), query('fieldManager'), query('fieldValidation')]
const patchTypes = [
  'application/json-patch+json',
  'application/merge-patch+json',
  'application/strategic-merge-patch+json',
  'application/apply-patch+yaml',
  'application/apply-patch+cbor',
]
const metaV1 = 'io.k8s.apimachinery.pkg.apis.meta.v1'

interface Names {
  object: string
  list: string
}
const operation = (resource: Resource, action: string, id: string, answer: string, more: Json = {}): Json => ({
  tags: [`${(resource.group || 'core').replace(/\W/g, '_')}_${resource.version}`],
  operationId: id,
  responses: {
    200: { description: 'OK', content: { 'application/json': { schema: ref(answer) } } },
    401: { description: 'Unauthorized' },
  },
  'x-kubernetes-action': action,
  'x-kubernetes-group-version-kind': { group: resource.group, version: resource.version, kind: resource.kind },
  ...more,
})
const body = (name: string): Json => ({ requestBody: { required: true, content: { '*/*': { schema: ref(name) } } } })

const pathsFor = (resource: Resource, names: Names): [string, Json][] => {
  const has = (verb: string): boolean => resource.verbs.includes(verb)
  const root = `/${pathOf(resource)}`
  const base = resource.namespaced
    ? `${root}/namespaces/{namespace}/${resource.resource}`
    : `${root}/${resource.resource}`
  const namespace = { name: 'namespace', in: 'path', required: true, schema: { type: 'string', uniqueItems: true } }
  const parameters = [...(resource.namespaced ? [namespace] : []), query('pretty')]
  const name = { name: 'name', in: 'path', required: true, schema: { type: 'string', uniqueItems: true } }
  const id = (verb: string, tail = ''): string =>
    `${verb}${resource.group ? resource.group.replace(/(^|\W)(\w)/g, (_, __, c: string) => c.toUpperCase()) : 'Core'}${resource.version.toUpperCase()}${resource.namespaced ? 'Namespaced' : ''}${resource.kind}${tail}`
  const many: Json = { parameters }
  if (has('list')) many.get = operation(resource, 'list', id('list'), names.list, { parameters: listParameters })
  if (has('create'))
    many.post = operation(resource, 'post', id('create'), names.object, {
      parameters: writeParameters,
      ...body(names.object),
    })
  if (has('deletecollection'))
    many.delete = operation(
      resource,
      'deletecollection',
      id('deleteCollection'),
      `${metaV1}.Status`,
      body(`${metaV1}.DeleteOptions`),
    )
  const single = (subresource: string): Json => {
    const one: Json = { parameters: [name, ...parameters] }
    const tail = subresource && subresource[0]!.toUpperCase() + subresource.slice(1)
    if (has('get')) one.get = operation(resource, 'get', id('read', tail), names.object)
    if (has('update'))
      one.put = operation(resource, 'put', id('replace', tail), names.object, {
        parameters: writeParameters,
        ...body(names.object),
      })
    if (has('patch'))
      one.patch = operation(resource, 'patch', id('patch', tail), names.object, {
        parameters: [...writeParameters, query('force', 'boolean')],
        requestBody: {
          required: true,
          content: Object.fromEntries(
            patchTypes
              .filter((type) => !resource.custom || !type.includes('strategic'))
              .map((type) => [type, { schema: ref(`${metaV1}.Patch`) }]),
          ),
        },
      })
    if (has('delete') && !subresource)
      one.delete = operation(resource, 'delete', id('delete'), `${metaV1}.Status`, body(`${metaV1}.DeleteOptions`))
    return one
  }
  const found: [string, Json][] = [[base, many]]
  if (has('get')) found.push([`${base}/{name}`, single('')])
  if (resource.hasStatus && !resource.serve) found.push([`${base}/{name}/status`, single('status')])
  if (resource.namespaced && has('list'))
    found.push([
      `${root}/${resource.resource}`,
      { get: operation(resource, 'list', `${id('list')}ForAllNamespaces`, names.list, { parameters: listParameters }) },
    ])
  return found
}

/** Names of a resource's schemas; custom ones are named after the group backwards, as Kubernetes does. */
const namesOf = (resource: Resource): Names => {
  const object =
    definitionName(resource.group, resource.version, resource.kind) ??
    [...resource.group.split('.').reverse(), resource.version, resource.kind].filter(Boolean).join('.')
  return { object, list: `${object}List` }
}
const customSchemas = (resource: Resource, names: Names): Json => {
  const identity = { apiVersion: { type: 'string' }, kind: { type: 'string' } }
  const gvk = { group: resource.group, version: resource.version }
  const given = (resource.openapi ?? { type: 'object' }) as Json
  const properties = {
    ...(given.properties as Json | undefined),
    ...identity,
    metadata: { allOf: [ref(`${metaV1}.ObjectMeta`)] },
  }
  return {
    [names.object]: { ...given, properties, 'x-kubernetes-group-version-kind': [{ ...gvk, kind: resource.kind }] },
    [names.list]: {
      type: 'object',
      required: ['items'],
      properties: {
        ...identity,
        metadata: ref(`${metaV1}.ListMeta`),
        items: { type: 'array', items: ref(names.object) },
      },
      'x-kubernetes-group-version-kind': [{ ...gvk, kind: `${resource.kind}List` }],
    },
  }
}

const documentFor = (resources: Resource[]): Json => {
  const roots = new Set([
    `${metaV1}.DeleteOptions`,
    `${metaV1}.Patch`,
    `${metaV1}.Status`,
    `${metaV1}.ObjectMeta`,
    `${metaV1}.ListMeta`,
  ])
  const paths: Json = {}
  let custom: Json = {}
  for (const resource of resources) {
    const names = namesOf(resource)
    if (definitionName(resource.group, resource.version, resource.kind)) {
      roots.add(names.object)
      roots.add(names.list)
      if (resource.subresources.some((s) => s.name === 'scale')) roots.add('io.k8s.api.autoscaling.v1.Scale')
    } else custom = { ...custom, ...customSchemas(resource, names) }
    for (const [path, item] of pathsFor(resource, names)) paths[path] = item
  }
  return {
    openapi: '3.0.0',
    info: { title: 'Kubernetes', version: 'v1.33.4' },
    paths,
    components: { schemas: { ...closure(roots), ...custom } },
  }
}

export const createOpenapi = (
  registry: Registry,
): { paths(): { path: string; hash: string }[]; document(path: string): unknown } => {
  let made: Map<string, { document: Json; hash: string }> | undefined
  registry.onChange(() => {
    made = undefined
  })
  const all = (): Map<string, { document: Json; hash: string }> => {
    if (made) return made
    const groups = new Map<string, Resource[]>()
    for (const resource of registry.all())
      groups.set(pathOf(resource), [...(groups.get(pathOf(resource)) ?? []), resource])
    made = new Map()
    for (const [path, resources] of groups) {
      const document = documentFor(resources)
      made.set(path, {
        document,
        hash: createHash('sha512').update(JSON.stringify(document)).digest('hex').toUpperCase(),
      })
    }
    return made
  }
  return {
    paths: () => [...all()].map(([path, { hash }]) => ({ path, hash })),
    document: (path) => all().get(path)?.document,
  }
}
