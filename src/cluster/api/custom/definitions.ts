/** CustomResourceDefinitions: each adds resources to the registry, at once and for as long as it exists. */
import { equalJson } from '../../../lib/json.ts'
import { timestamp } from '../../../lib/timestamp.ts'
import type { Kind, KubeObject } from '../../../spec/kube/kinds.ts'
import { isDns1035Label, isDns1123Subdomain } from '../../../spec/kube/names.ts'
import { schemaOf } from '../../../spec/kube/schema.ts'
import { jsonPath } from '../columns/json-path.ts'
import { type FieldError, invalid, required, unsupported } from '../errors.ts'
import { fill } from '../kinds/pod-defaults.ts'
import { type Context, type Draft, type Resource, resourceOf, type Strategy, type Write } from '../resource.ts'
import { type Props, schemaFrom, validateValue, withDefaults } from './structural.ts'

const group = 'apiextensions.k8s.io'
const definitionsId = `customresourcedefinitions.${group}`
const cleanup = `customresourcecleanup.${group}`

const kind: Kind = {
  group,
  version: 'v1',
  kind: 'CustomResourceDefinition',
  plural: 'customresourcedefinitions',
  singular: 'customresourcedefinition',
  shortNames: ['crd', 'crds'],
  categories: ['api-extensions'],
  namespaced: false,
}
/** How the parts of the API server that this one needs are reached, without importing them back. */
interface Deletion {
  remove(context: Context, resource: Resource, namespace: string, name: string, write: Write): void
  replace(context: Context, resource: Resource, draft: Draft, current: KubeObject, write: Write): void
}
const by: Write = {
  user: { name: 'system:apiserver', groups: ['system:masters'] },
  dryRun: false,
  manager: 'kube-apiserver',
  warnings: [],
}

const validate = ({ metadata, spec }: Draft, errors: FieldError[]): void => {
  const { names = {}, versions = [] } = spec
  if (!spec.group) errors.push(required('spec.group'))
  if (metadata.name !== `${names.plural}.${spec.group}`)
    errors.push(invalid('metadata.name', metadata.name, `must be spec.names.plural+"."+spec.group`))
  if (!['Cluster', 'Namespaced'].includes(spec.scope))
    errors.push(spec.scope ? unsupported('spec.scope', spec.scope, ['Cluster', 'Namespaced']) : required('spec.scope'))
  for (const key of ['plural', 'singular', 'kind', 'listKind'])
    if (!names[key]) errors.push(required(`spec.names.${key}`))
  if (names.plural)
    for (const reason of isDns1035Label(names.plural)) errors.push(invalid('spec.names.plural', names.plural, reason))
  if (versions.filter((v: Draft) => v.storage).length !== 1)
    errors.push(
      invalid(
        'spec.versions',
        versions.map((v: Draft) => v.name),
        'must have exactly one version marked as storage version',
      ),
    )
  for (const [i, version] of (versions as Draft[]).entries()) {
    for (const reason of isDns1035Label(version.name ?? ''))
      errors.push(invalid(`spec.versions[${i}].name`, version.name ?? '', reason))
    const schema = version.schema?.openAPIV3Schema
    if (!schema) errors.push(required(`spec.versions[${i}].schema.openAPIV3Schema`, 'schemas are required'))
    else if (schema.type !== 'object')
      errors.push(
        schema.type
          ? invalid(`spec.versions[${i}].schema.openAPIV3Schema.type`, schema.type, 'must be object')
          : required(`spec.versions[${i}].schema.openAPIV3Schema.type`, 'must not be empty at the root'),
      )
  }
}

const condition = (type: string, reason: string, message: string, time: string): Draft => ({
  type,
  status: 'True',
  reason,
  message,
  lastTransitionTime: time,
})
const establish = (crd: Draft, context: Context): void => {
  const now = timestamp(context.clock.now())
  const old = crd.status?.conditions ?? []
  const keep = (type: string, fresh: Draft): Draft =>
    old.find((c: Draft) => c.type === type && c.status === 'True') ?? fresh
  crd.status = {
    ...crd.status,
    acceptedNames: crd.spec.names,
    conditions: [
      keep('NamesAccepted', condition('NamesAccepted', 'NoConflicts', 'no conflicts found', now)),
      keep(
        'Established',
        condition('Established', 'InitialNamesAccepted', 'the initial names have been accepted', now),
      ),
    ],
    storedVersions: [
      ...new Set([
        ...(crd.status?.storedVersions ?? []),
        ...crd.spec.versions.filter((v: Draft) => v.storage).map((v: Draft) => v.name),
      ]),
    ],
  }
}

/** The rules of a custom kind, from its schema. */
const customStrategy = (
  props: Props | undefined,
  version: Draft,
  afterWrite: NonNullable<Strategy['committed']>,
): Strategy => ({
  generation: true,
  validName: isDns1123Subdomain,
  defaults(object) {
    if (props) withDefaults(props, object)
  },
  validate(object, errors) {
    if (!props) return
    const { metadata: _, ...rest } = object
    const { metadata: __, ...own } = props.properties ?? {}
    validateValue(
      { ...props, properties: own, required: (props.required ?? []).filter((key) => key !== 'metadata') },
      rest,
      '',
      errors,
    )
  },
  committed: afterWrite,
  fields: Object.fromEntries(
    ((version.selectableFields ?? []) as Draft[]).map(({ jsonPath: path }) => [
      path.replace(/^\./, ''),
      (object: Draft) => String(jsonPath(object, path)[0] ?? ''),
    ]),
  ),
})

export class CustomResources {
  readonly #context: Context
  readonly #deletion: Deletion
  /** What each definition has added. */
  #served = new Map<string, Resource[]>()

  constructor(context: Context, deletion: Deletion) {
    this.#context = context
    this.#deletion = deletion
    const { registry } = context
    registry.add(resourceOf(kind, schemaOf(group, 'v1', kind.kind)!, this.#strategy()))
    for (const crd of context.store.list(definitionsId, '')) this.#serve(crd)
  }

  #strategy(): Strategy {
    return {
      generation: true,
      defaults(crd) {
        crd.spec ??= {}
        const { names } = crd.spec
        if (names?.kind) fill(names, { singular: names.kind.toLowerCase(), listKind: `${names.kind}List` })
        fill(crd.spec, { conversion: { strategy: 'None' } })
      },
      prepareCreate(crd, context) {
        const finalizers: string[] = crd.metadata.finalizers ?? []
        if (!finalizers.includes(cleanup)) crd.metadata.finalizers = [...finalizers, cleanup]
        // A definition that will not pass validation has no status to work out.
        if (Array.isArray(crd.spec.versions)) establish(crd, context)
      },
      prepareUpdate(crd, _old, context) {
        if (Array.isArray(crd.spec.versions)) establish(crd, context)
      },
      validate,
      validateUpdate(crd, old, errors) {
        for (const key of ['group', 'scope'])
          if (!equalJson(crd.spec[key], old.spec[key]))
            errors.push(invalid(`spec.${key}`, crd.spec[key], 'field is immutable'))
        if (crd.spec.names.plural !== old.spec.names.plural)
          errors.push(invalid('spec.names.plural', crd.spec.names.plural, 'field is immutable'))
      },
      committed: (crd) => this.#changed(crd),
    }
  }

  #changed(crd: KubeObject): void {
    const { store } = this.#context
    const current = store.get(definitionsId, '', crd.metadata.name!)
    if (!current) {
      this.#withdraw(crd.metadata.name!)
      return
    }
    if (!current.metadata.deletionTimestamp) {
      this.#serve(current)
      return
    }
    for (const resource of this.#served.get(current.metadata.name!) ?? [])
      if (!resource.conversion)
        for (const object of store.list(resource.id, ''))
          if (!object.metadata.deletionTimestamp)
            this.#deletion.remove(this.#context, resource, object.metadata.namespace ?? '', object.metadata.name!, by)
    this.#release(current.metadata.name!)
  }

  /** A definition that is being deleted goes with its last object. */
  #release(name: string): void {
    const { store, registry } = this.#context
    const crd = store.get(definitionsId, '', name)
    if (
      !crd?.metadata.deletionTimestamp ||
      !crd.metadata.finalizers?.includes(cleanup) ||
      store.list(name, '').length > 0
    )
      return
    const finalizers = crd.metadata.finalizers.filter((f) => f !== cleanup)
    this.#deletion.replace(
      this.#context,
      registry.byId(definitionsId)!,
      { ...crd, metadata: { ...crd.metadata, finalizers } },
      crd,
      by,
    )
  }

  #withdraw(name: string): void {
    for (const resource of this.#served.get(name) ?? []) this.#context.registry.remove(resource)
    this.#served.delete(name)
  }

  #serve(crd: Draft): void {
    const name = crd.metadata.name as string
    this.#withdraw(name)
    const versions: Draft[] = crd.spec.versions
    const storage = versions.find((v) => v.storage)!
    const stored = this.#resource(crd, storage)
    const resources = versions
      .filter((v) => v.served)
      .map((v) => (v === storage ? stored : this.#resource(crd, v, stored)))
    // What is stored under a version that is not served must still be found by its id.
    for (const resource of resources) this.#context.registry.add(resource)
    this.#served.set(name, resources)
  }

  #resource(crd: Draft, version: Draft, storage?: Resource): Resource {
    const { names, scope } = crd.spec
    const own: Kind = {
      group: crd.spec.group,
      version: version.name,
      kind: names.kind,
      plural: names.plural,
      singular: names.singular,
      shortNames: names.shortNames ?? [],
      categories: names.categories ?? [],
      namespaced: scope === 'Namespaced',
    }
    const props = version.schema?.openAPIV3Schema as Props | undefined
    const strategy = customStrategy(props, version, (object) => {
      if (!this.#context.store.get(crd.metadata.name, object.metadata.namespace ?? '', object.metadata.name))
        this.#release(crd.metadata.name)
    })
    const { subresources = {} } = version
    const apiVersion = `${own.group}/${own.version}`
    const resource = resourceOf(own, schemaFrom(props, true), strategy, {
      printerColumns: version.additionalPrinterColumns ?? [],
      ...(subresources.scale
        ? {
            scale: subresources.scale,
            subresources: [
              {
                name: 'scale',
                kind: { group: 'autoscaling', version: 'v1', kind: 'Scale' },
                verbs: ['get', 'patch', 'update'],
              },
            ],
          }
        : {}),
      ...(storage
        ? {
            conversion: {
              storage,
              toStorage: (o: Draft) => ({ ...o, apiVersion: storage.apiVersion }),
              fromStorage: (o: KubeObject) => ({ ...o, apiVersion }),
            },
          }
        : {}),
    })
    const hasStatus = subresources.status !== undefined
    return {
      ...resource,
      custom: true,
      openapi: props,
      hasStatus,
      subresources: resource.subresources
        .filter((s) => s.name !== 'status' || hasStatus)
        .concat(
          hasStatus && !resource.subresources.some((s) => s.name === 'status')
            ? [
                {
                  name: 'status',
                  kind: { group: own.group, version: own.version, kind: own.kind },
                  verbs: ['get', 'patch', 'update'],
                },
              ]
            : [],
        ),
    }
  }
}
