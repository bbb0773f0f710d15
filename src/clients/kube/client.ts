/** ObjectClient over HTTP: any Kubernetes API, or the daemon's unix socket. */
import { isError, messageOf, SlipwayError } from '../../errors.ts'
import type {
  DeleteOptions,
  Key,
  List,
  ListOptions,
  ObjectClient,
  PodLogOptions,
  WriteOptions,
} from '../../spec/kube/client.ts'
import { apiVersionOf, type Kind, type KubeObject, type ObjectMetaHolder } from '../../spec/kube/kinds.ts'
import type { HttpConfig } from './config.ts'
import { podMetrics } from './metrics.ts'
import { Transport } from './transport.ts'
import { readWatch } from './watch.ts'

// biome-ignore lint/suspicious/noExplicitAny: a Kind's type parameter only documents what comes back.
type AnyKind = Kind<any>
type Query = Record<string, string | string[] | undefined>

const write = (o: WriteOptions = {}): Query => ({
  ...(o.dryRun && { dryRun: 'All' }),
  ...(o.fieldManager && { fieldManager: o.fieldManager }),
})
const selection = (o: ListOptions): Query => ({
  labelSelector: o.labels || undefined,
  fieldSelector: o.fields || undefined,
  limit: o.limit === undefined ? undefined : String(o.limit),
  continue: o.continue,
  resourceVersion: o.resourceVersion,
})
const deleteBody = (o: DeleteOptions = {}): unknown => ({
  kind: 'DeleteOptions',
  apiVersion: 'v1',
  gracePeriodSeconds: o.gracePeriodSeconds,
  propagationPolicy: o.propagation,
  preconditions: o.preconditions,
  ...(o.dryRun && { dryRun: ['All'] }),
})
const patchTypes = {
  json: 'application/json-patch+json',
  merge: 'application/merge-patch+json',
  strategic: 'application/strategic-merge-patch+json',
}
const number = (value: number | undefined): string | undefined => (value === undefined ? undefined : String(value))
const logQuery = (o: PodLogOptions): Query => ({
  container: o.container,
  follow: o.follow ? 'true' : undefined,
  previous: o.previous ? 'true' : undefined,
  timestamps: o.timestamps ? 'true' : undefined,
  tailLines: number(o.tailLines),
  sinceSeconds: number(o.sinceSeconds),
  sinceTime: o.sinceTime,
  limitBytes: number(o.limitBytes),
})
const absent = (error: unknown): undefined => {
  if (isError(error, 'not-found')) return undefined
  throw error
}

/** Paths of one server. */
class Paths {
  readonly #namespace: string

  constructor(namespace: string) {
    this.#namespace = namespace
  }

  root(kind: AnyKind): string {
    return kind.group ? `/apis/${kind.group}/${kind.version}` : `/api/${kind.version}`
  }
  /** A collection; without a namespace that of all namespaces. */
  collection(kind: AnyKind, namespace: string | undefined): string {
    const within = kind.namespaced && namespace ? `/namespaces/${encodeURIComponent(namespace)}` : ''
    return `${this.root(kind)}${within}/${kind.plural}`
  }
  /** The collection an object belongs to. */
  home(kind: AnyKind, namespace: string | undefined): string {
    return this.collection(kind, namespace ?? this.#namespace)
  }
  object(kind: AnyKind, key: Key, subresource?: string): string {
    const path = `${this.home(kind, key.namespace)}/${encodeURIComponent(key.name)}`
    return subresource ? `${path}/${subresource}` : path
  }
  pod(key: Key, subresource: string): string {
    const namespace = encodeURIComponent(key.namespace ?? this.#namespace)
    return `/api/v1/namespaces/${namespace}/pods/${encodeURIComponent(key.name)}/${subresource}`
  }
}
const keyOf = (object: ObjectMetaHolder): Key => ({
  namespace: object.metadata.namespace ?? undefined,
  name: object.metadata.name ?? '',
})
const identified = (kind: AnyKind, object: ObjectMetaHolder): unknown => ({
  apiVersion: apiVersionOf(kind),
  kind: kind.kind,
  ...object,
})

const reading = (transport: Transport, paths: Paths): Pick<ObjectClient, 'get' | 'list' | 'watch'> => ({
  async get<T extends ObjectMetaHolder>(kind: Kind<T>, key: Key) {
    try {
      return await transport.json<T>('GET', paths.object(kind, key))
    } catch (error) {
      return absent(error)
    }
  },
  async list<T extends ObjectMetaHolder>(kind: Kind<T>, o: ListOptions = {}): Promise<List<T>> {
    const list = await transport.json<{
      items?: T[]
      metadata: { resourceVersion?: string; continue?: string }
    }>('GET', paths.collection(kind, o.namespace), { query: selection(o) })
    // The items of a list carry no apiVersion and kind of their own.
    const items = (list.items ?? []).map((item) => identified(kind, item) as T)
    const { resourceVersion = '', continue: next } = list.metadata
    return { items, resourceVersion, ...(next ? { continue: next } : {}) }
  },
  async *watch(kind, o) {
    const query = { ...selection(o), watch: 'true', ...(o.bookmarks && { allowWatchBookmarks: 'true' }) }
    let response: Awaited<ReturnType<Transport['send']>>
    try {
      response = await transport.send('GET', paths.collection(kind, o.namespace), { query, signal: o.signal })
    } catch (error) {
      if (o.signal.aborted) return
      throw error
    }
    yield* readWatch(response, o.signal)
  },
})

const writing = (
  transport: Transport,
  paths: Paths,
): Pick<
  ObjectClient,
  'create' | 'update' | 'updateStatus' | 'patch' | 'apply' | 'delete' | 'deleteCollection' | 'createSubresource'
> => {
  const put = <T>(kind: AnyKind, object: ObjectMetaHolder, o: WriteOptions | undefined, subresource?: string) =>
    transport.json<T>('PUT', paths.object(kind, keyOf(object), subresource), {
      query: write(o),
      body: identified(kind, object),
      signal: o?.signal,
    })

  return {
    create: (kind, object, o) =>
      transport.json('POST', paths.home(kind, object.metadata.namespace ?? undefined), {
        query: write(o),
        body: identified(kind, object),
        signal: o?.signal,
      }),
    update: (kind, object, o) => put(kind, object, o),
    updateStatus: (kind, object, o) => put(kind, object, o, 'status'),
    patch: (kind, key, patch, o) =>
      transport.json('PATCH', paths.object(kind, key, o?.subresource), {
        query: write(o),
        body: patch.body,
        contentType: patchTypes[patch.type],
        signal: o?.signal,
      }),
    apply: (kind, object, o) =>
      transport.json('PATCH', paths.object(kind, keyOf(object)), {
        query: { ...write(o), ...(o.force && { force: 'true' }) },
        body: identified(kind, object),
        contentType: 'application/apply-patch+yaml',
        signal: o.signal,
      }),
    async delete<T extends ObjectMetaHolder>(kind: Kind<T>, key: Key, o: DeleteOptions = {}) {
      try {
        return await transport.json<T>('DELETE', paths.object(kind, key), { body: deleteBody(o), signal: o.signal })
      } catch (error) {
        return absent(error)
      }
    },
    async deleteCollection(kind, o) {
      await transport.json('DELETE', paths.collection(kind, o.namespace), {
        query: selection(o),
        body: deleteBody(o),
        signal: o.signal,
      })
    },
    createSubresource: (kind, key, subresource, body) =>
      transport.json('POST', paths.object(kind, key, subresource), { body }),
  }
}

const scaling = (transport: Transport, paths: Paths): Pick<ObjectClient, 'getScale' | 'setScale'> => ({
  async getScale(kind, key) {
    try {
      const scale = await transport.json<KubeObject & { spec?: { replicas?: number }; status?: { selector?: string } }>(
        'GET',
        paths.object(kind, key, 'scale'),
      )
      return {
        replicas: scale.spec?.replicas ?? 0,
        selector: scale.status?.selector ?? '',
        resourceVersion: scale.metadata.resourceVersion!,
      }
    } catch (error) {
      return absent(error)
    }
  },
  async setScale(kind, key, replicas) {
    await transport.json('PATCH', paths.object(kind, key, 'scale'), {
      body: { spec: { replicas } },
      contentType: patchTypes.merge,
    })
  },
})

/** WebSocket and SPDY are for few commands. */
const streams = () => import('./streams.ts')

const pods = (
  transport: Transport,
  paths: Paths,
): Pick<ObjectClient, 'logs' | 'exec' | 'attach' | 'portForward' | 'podMetrics'> => ({
  async *logs(pod, o) {
    try {
      const response = await transport.send('GET', paths.pod(pod, 'log'), { query: logQuery(o), signal: o.signal })
      yield* response as AsyncIterable<Buffer>
    } catch (error) {
      if (o.signal?.aborted) return
      throw isError(error)
        ? error
        : new SlipwayError('unavailable', `the log broke off: ${messageOf(error)}`, { cause: error })
    }
  },
  exec: async (pod, o) => (await streams()).openCommand(transport, paths.pod(pod, 'exec'), o),
  attach: async (pod, o) => (await streams()).openCommand(transport, paths.pod(pod, 'attach'), { ...o, command: [] }),
  portForward: async (pod, port) => (await streams()).openPortForward(transport, paths.pod(pod, 'portforward'), port),
  podMetrics: (o) => podMetrics(transport, o),
})

/** An ObjectClient over HTTP. Connections are opened as needed and kept for a while; they do not keep the process alive. */
export const createHttpClient = (config: HttpConfig): ObjectClient & { close(): void } => {
  const transport = new Transport(config)
  const paths = new Paths(config.namespace ?? 'default')
  return {
    ...reading(transport, paths),
    ...writing(transport, paths),
    ...scaling(transport, paths),
    ...pods(transport, paths),
    version: async () => {
      const { gitVersion, platform } = await transport.json<{ gitVersion: string; platform: string }>('GET', '/version')
      return { gitVersion, platform }
    },
    close: () => transport.close(),
  }
}
