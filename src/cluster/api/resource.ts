/** What the API server knows of a resource: identity, structure and the rules of its kind. */
import type { Clock } from '../../lib/clock.ts'
import type { Log } from '../../lib/log.ts'
import { apiVersionOf, type Kind, type KubeObject } from '../../spec/kube/kinds.ts'
import type { Schema } from '../../spec/kube/schema.ts'
import type { ObjectStore } from '../store/index.ts'
import type { ApiRequest, NodeProxy, User } from '../types.ts'
import type { FieldError, ResourceName } from './errors.ts'

/** An object under construction: a private deep copy whose members may be anything the schema allows. */
// biome-ignore lint/suspicious/noExplicitAny: defaulting and validation walk structures that the schema has checked.
export type Draft = any

export interface ServerOptions {
  /** Cluster addresses of Services, e.g. "10.96.0.0/16". */
  serviceCidr: string
  clusterDnsAddress: string
  clusterDomain?: string | undefined
  nodeName: string
  /** PEM of the authority that clients of the API server trust; goes into kube-root-ca.crt. */
  ca?: string | undefined
  /** Port the HTTP door listens on, for the Endpoints of the service "kubernetes". */
  apiAddress?: string | undefined
  apiPort?: number | undefined
  nodePortRange?: [first: number, last: number] | undefined
  /** Issuer of ServiceAccount tokens. */
  issuer?: string | undefined
  /** Deep-freeze everything that is stored; default: only under the test runner. */
  freeze?: boolean | undefined
}
/** What the parts of the API server share. */
export interface Context {
  store: ObjectStore
  clock: Clock
  log: Log
  options: ServerOptions
  registry: Registry
  /** Where pods run; throws 'unavailable' while nobody does. */
  nodes(): NodeProxy
  /** Ends each open watch. */
  watches: Set<() => void>
}
/** One write on its way through defaulting, admission and validation. */
export interface Write {
  user: User
  dryRun: boolean
  manager: string
  subresource?: string | undefined
  warnings: string[]
  /** A status that changes together with the rest (binding a pod). */
  withStatus?: Draft
  /** Server-side apply works out managedFields itself, from the final draft. */
  track?: ((draft: Draft) => void) | undefined
}

/** The rules of a kind. Drafts are changed in place; errors are pushed. All synchronous. */
export interface Strategy {
  validName?: ((name: string) => string[]) | undefined
  /** metadata.generation counts changes of everything but metadata and status. */
  generation?: boolean | undefined
  /** Whoever creates it may set its status (nodes register themselves). */
  statusOnCreate?: boolean | undefined
  /** PUT of an absent object creates it. */
  createOnUpdate?: boolean | undefined
  /** Defaults that follow from the object alone. Also applied to the results of updates and patches. */
  defaults?(draft: Draft): void
  prepareCreate?(draft: Draft, context: Context, write: Write): void
  prepareUpdate?(draft: Draft, current: Draft, context: Context, write: Write): void
  prepareStatus?(draft: Draft, current: Draft, context: Context, write: Write): void
  validate?(draft: Draft, errors: FieldError[]): void
  validateUpdate?(draft: Draft, current: Draft, errors: FieldError[], write: Write): void
  /** Called once the object is committed or gone, for what must follow at once. */
  committed?(object: Draft, previous: Draft | undefined, context: Context): void
  /** Fields for field selectors besides metadata.name and metadata.namespace. */
  fields?: Record<string, (object: Draft) => string> | undefined
  /** Seconds of grace for a deletion; absent: deleted at once. */
  grace?(object: Draft, asked: number | undefined): number
}

export interface Subresource {
  name: string
  kind: { group: string; version: string; kind: string }
  verbs: string[]
}
export interface Resource extends ResourceName {
  /** Where the objects are kept: "deployments.apps". */
  id: string
  version: string
  kindInfo: Kind
  apiVersion: string
  namespaced: boolean
  schema: Schema
  verbs: string[]
  subresources: Subresource[]
  hasStatus: boolean
  strategy: Strategy
  /** Another version of a stored resource: converted on the way in and out. */
  conversion?:
    | { storage: Resource; toStorage(object: Draft): Draft; fromStorage(object: KubeObject): KubeObject }
    | undefined
  /** Not stored: answered from elsewhere (reviews, metrics). */
  serve?(context: Context, request: ApiRequest, write: Write): KubeObject
  /** Defined by a CustomResourceDefinition. */
  custom?: boolean | undefined
  /** Custom resources: the schema as it was given. */
  openapi?: unknown
  /** Custom resources: where their scale is. */
  scale?: { specReplicasPath: string; statusReplicasPath: string; labelSelectorPath?: string | undefined } | undefined
  /** Custom resources: the columns of their definition. */
  printerColumns?:
    | { name: string; type: string; jsonPath: string; priority?: number; description?: string }[]
    | undefined
}

const allVerbs = ['create', 'delete', 'deletecollection', 'get', 'list', 'patch', 'update', 'watch']
export const readWrite = ['get', 'patch', 'update']

/** All resources that are served. Custom resources come and go. */
export class Registry {
  #byPath = new Map<string, Resource>()
  #listeners = new Set<() => void>()

  add(resource: Resource): void {
    this.#byPath.set(`${resource.group}/${resource.version}/${resource.resource}`, resource)
    for (const listener of this.#listeners) listener()
  }
  remove(resource: Resource): void {
    this.#byPath.delete(`${resource.group}/${resource.version}/${resource.resource}`)
    for (const listener of this.#listeners) listener()
  }
  find(group: string, version: string, resource: string): Resource | undefined {
    return this.#byPath.get(`${group}/${version}/${resource}`)
  }
  /** The served resource that keeps its objects under `id`. */
  byId(id: string): Resource | undefined {
    for (const resource of this.#byPath.values())
      if (resource.id === id && !resource.conversion && !resource.serve) return resource
    return undefined
  }
  byKind(group: string, kind: string): Resource | undefined {
    for (const r of this.#byPath.values())
      if (r.kind === kind && r.group === group && !r.conversion && !r.serve) return r
    return undefined
  }
  all(): Resource[] {
    return [...this.#byPath.values()]
  }
  /** Called when the set changes. */
  onChange(listener: () => void): void {
    this.#listeners.add(listener)
  }
}

export const resourceOf = (
  kind: Kind,
  schema: Schema,
  strategy: Strategy,
  more: Partial<
    Pick<Resource, 'verbs' | 'subresources' | 'conversion' | 'serve' | 'scale' | 'printerColumns' | 'id'>
  > = {},
): Resource => {
  const hasStatus = schema.fields?.has('status') ?? false
  const own = { group: kind.group, version: kind.version, kind: kind.kind }
  return {
    id: more.id ?? (kind.group ? `${kind.plural}.${kind.group}` : kind.plural),
    group: kind.group,
    version: kind.version,
    resource: kind.plural,
    kind: kind.kind,
    kindInfo: kind,
    apiVersion: apiVersionOf(kind),
    namespaced: kind.namespaced,
    schema,
    verbs: more.verbs ?? allVerbs,
    hasStatus,
    strategy,
    subresources: [
      ...(hasStatus && !more.serve ? [{ name: 'status', kind: own, verbs: readWrite }] : []),
      ...(more.subresources ?? []),
    ],
    ...(more.conversion ? { conversion: more.conversion } : {}),
    ...(more.serve ? { serve: more.serve } : {}),
    ...(more.scale ? { scale: more.scale } : {}),
    ...(more.printerColumns ? { printerColumns: more.printerColumns } : {}),
  }
}
