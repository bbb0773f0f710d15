/** ObjectClient in-process: the same requests as over HTTP, without the wire. Objects are the store's own; do not write into them. */
import { isError, SlipwayError } from '../../errors.ts'
import type { List, ListOptions, ObjectClient, PodUsage, WatchEvent, WriteOptions } from '../../spec/kube/client.ts'
import { apiVersionOf, type Kind, type KubeObject, type ObjectMetaHolder } from '../../spec/kube/kinds.ts'
import { labelMatcher } from '../../spec/kube/labels.ts'
import { errorOfStatus, type Status } from '../../spec/kube/status.ts'
import type { ApiRequest, ApiResponse, User } from '../types.ts'
import type { Server } from './server.ts'

const version = {
  gitVersion: 'v1.33.4+slipway',
  platform: `linux/${process.arch === 'x64' ? 'amd64' : process.arch}`,
}

const clusterScoped = (kind: { namespaced: boolean }, namespace: string | undefined): string | undefined =>
  kind.namespaced ? namespace : undefined

// biome-ignore lint/suspicious/noExplicitAny: a Kind's type parameter only documents what comes back.
type AnyKind = Kind<any>
const objectOf = (response: ApiResponse): KubeObject => {
  if (response.kind !== 'object') throw new SlipwayError('internal', 'a watch where an object was expected')
  return response.object
}
/** The namespace of an object that names none. */
const namespaceFor = (kind: AnyKind, object: ObjectMetaHolder): string | undefined =>
  clusterScoped(kind, object.metadata.namespace ?? 'default')
const absent = (error: unknown): undefined => {
  if (isError(error, 'not-found')) return undefined
  throw error
}
const options = (o: WriteOptions = {}): Pick<ApiRequest, 'dryRun' | 'fieldManager' | 'signal'> => ({
  dryRun: o.dryRun,
  fieldManager: o.fieldManager,
  signal: o.signal,
})
const selection = (kind: AnyKind, o: ListOptions) => ({
  namespace: clusterScoped(kind, o.namespace),
  labels: o.labels,
  fields: o.fields,
  limit: o.limit,
  continue: o.continue,
  resourceVersion: o.resourceVersion,
})

/** One user's requests. */
class Caller {
  readonly server: Server
  readonly #user: User

  constructor(server: Server, user: User) {
    this.server = server
    this.#user = user
  }
  base(kind: AnyKind): Pick<ApiRequest, 'user' | 'group' | 'version' | 'resource'> {
    return { user: this.#user, group: kind.group, version: kind.version, resource: kind.plural }
  }
  run(request: ApiRequest): KubeObject {
    request.signal?.throwIfAborted()
    return objectOf(this.server.perform(request, true))
  }
  /** The pod of a log, exec …, if the user may have it. */
  pod(key: { namespace?: string | undefined; name: string }, subresource: string): KubeObject {
    return this.server.podFor(this.#user, key.namespace ?? 'default', key.name, subresource)
  }
}

const reading = (caller: Caller): Pick<ObjectClient, 'get' | 'list' | 'watch'> => ({
  async get<T extends ObjectMetaHolder>(kind: Kind<T>, key: { namespace?: string | undefined; name: string }) {
    try {
      return caller.run({
        ...caller.base(kind),
        verb: 'get',
        namespace: clusterScoped(kind, key.namespace ?? 'default'),
        name: key.name,
      }) as unknown as T
    } catch (error) {
      return absent(error)
    }
  },
  async list<T extends ObjectMetaHolder>(kind: Kind<T>, o: ListOptions = {}): Promise<List<T>> {
    const list = caller.run({ ...caller.base(kind), verb: 'list', ...selection(kind, o) })
    const { resourceVersion, continue: next } = list.metadata as { resourceVersion: string; continue?: string }
    return { items: list.items as T[], resourceVersion, ...(next ? { continue: next } : {}) }
  },
  async *watch<T extends ObjectMetaHolder>(
    kind: Kind<T>,
    o: ListOptions & { signal: AbortSignal; bookmarks?: boolean },
  ): AsyncGenerator<WatchEvent<T>> {
    const response = caller.server.perform(
      {
        ...caller.base(kind),
        verb: 'watch',
        ...selection(kind, o),
        allowWatchBookmarks: o.bookmarks,
        signal: o.signal,
      },
      true,
    )
    if (response.kind !== 'watch') throw new SlipwayError('internal', 'an object where a watch was expected')
    for await (const { type, object } of response.events) {
      if (type === 'ERROR') throw errorOfStatus(object as Status)
      if (type === 'BOOKMARK') yield { type, resourceVersion: (object as KubeObject).metadata.resourceVersion! }
      else yield { type, object: object as T }
    }
  },
})

const writing = (caller: Caller): Pick<ObjectClient, 'create' | 'update' | 'updateStatus' | 'patch' | 'apply'> => ({
  async create(kind, object, o) {
    return caller.run({
      ...caller.base(kind),
      verb: 'create',
      namespace: namespaceFor(kind, object),
      object: object as unknown as KubeObject,
      ...options(o),
    }) as never
  },
  async update(kind, object, o) {
    return caller.run({
      ...caller.base(kind),
      verb: 'update',
      namespace: namespaceFor(kind, object),
      name: object.metadata.name,
      object: object as unknown as KubeObject,
      ...options(o),
    }) as never
  },
  async updateStatus(kind, object, o) {
    return caller.run({
      ...caller.base(kind),
      verb: 'update',
      subresource: 'status',
      namespace: namespaceFor(kind, object),
      name: object.metadata.name,
      object: object as unknown as KubeObject,
      ...options(o),
    }) as never
  },
  async patch(kind, key, patch, o) {
    return caller.run({
      ...caller.base(kind),
      verb: 'patch',
      subresource: o?.subresource,
      namespace: clusterScoped(kind, key.namespace ?? 'default'),
      name: key.name,
      patch,
      ...options(o),
    }) as never
  },
  async apply(kind, object, o) {
    const body = { apiVersion: apiVersionOf(kind), kind: kind.kind, ...object }
    return caller.run({
      ...caller.base(kind),
      verb: 'patch',
      namespace: namespaceFor(kind, object),
      name: object.metadata.name,
      patch: { type: 'apply', body },
      force: o.force,
      ...options(o),
    }) as never
  },
})

const deleting = (caller: Caller): Pick<ObjectClient, 'delete' | 'deleteCollection'> => ({
  async delete(kind, key, o) {
    try {
      return caller.run({
        ...caller.base(kind),
        verb: 'delete',
        namespace: clusterScoped(kind, key.namespace ?? 'default'),
        name: key.name,
        deleteOptions: deleteOptionsOf(o),
        ...options(o),
      }) as never
    } catch (error) {
      return absent(error)
    }
  },
  async deleteCollection(kind, o) {
    caller.run({
      ...caller.base(kind),
      verb: 'deletecollection',
      ...selection(kind, o),
      deleteOptions: deleteOptionsOf(o),
      ...options(o),
    })
  },
})

const subresources = (caller: Caller): Pick<ObjectClient, 'createSubresource' | 'getScale' | 'setScale'> => ({
  async createSubresource(kind, key, subresource, body) {
    return caller.run({
      ...caller.base(kind),
      verb: 'create',
      namespace: clusterScoped(kind, key.namespace ?? 'default'),
      name: key.name,
      subresource,
      object: body,
    })
  },
  async getScale(kind, key) {
    try {
      const scale = caller.run({
        ...caller.base(kind),
        verb: 'get',
        subresource: 'scale',
        namespace: clusterScoped(kind, key.namespace ?? 'default'),
        name: key.name,
      }) as KubeObject & { spec: { replicas?: number }; status: { selector?: string } }
      return {
        replicas: scale.spec.replicas ?? 0,
        selector: scale.status.selector ?? '',
        resourceVersion: scale.metadata.resourceVersion!,
      }
    } catch (error) {
      return absent(error)
    }
  },
  async setScale(kind, key, replicas) {
    caller.run({
      ...caller.base(kind),
      verb: 'patch',
      subresource: 'scale',
      namespace: clusterScoped(kind, key.namespace ?? 'default'),
      name: key.name,
      patch: { type: 'merge', body: { spec: { replicas } } },
    })
  },
})

const pods = (caller: Caller): Pick<ObjectClient, 'logs' | 'exec' | 'attach' | 'portForward' | 'podMetrics'> => ({
  async *logs(key, o) {
    yield* caller.server.nodes().logs(caller.pod(key, 'log'), o)
  },
  async exec(key, o) {
    return caller.server.nodes().exec(caller.pod(key, 'exec'), o)
  },
  async attach(key, o) {
    return caller.server.nodes().attach(caller.pod(key, 'attach'), o)
  },
  async portForward(key, port) {
    return caller.server.nodes().portForward(caller.pod(key, 'portforward'), port)
  },
  async podMetrics(o): Promise<PodUsage[] | undefined> {
    const matches = labelMatcher(o.labels)
    return caller.server
      .nodes()
      .podUsage()
      .filter((usage) => (!o.namespace || usage.namespace === o.namespace) && matches(usage.labels))
  },
})

export const createClient = (server: Server, user: User): ObjectClient => {
  const caller = new Caller(server, user)
  return {
    ...reading(caller),
    ...writing(caller),
    ...deleting(caller),
    ...subresources(caller),
    ...pods(caller),
    async version() {
      return version
    },
  }
}

const deleteOptionsOf = (
  o: {
    gracePeriodSeconds?: number | undefined
    propagation?: string | undefined
    preconditions?: { uid?: string; resourceVersion?: string } | undefined
  } = {},
): NonNullable<ApiRequest['deleteOptions']> => ({
  ...(o.gracePeriodSeconds === undefined ? {} : { gracePeriodSeconds: o.gracePeriodSeconds }),
  ...(o.propagation ? { propagationPolicy: o.propagation } : {}),
  ...(o.preconditions ? { preconditions: o.preconditions } : {}),
})
