/** The API server: finds the resource, asks whether the user may, and runs the verb. */
import type { DatabaseSync } from 'node:sqlite'
import { isError, messageOf, SlipwayError } from '../../errors.ts'
import type { Clock } from '../../lib/clock.ts'
import type { Log } from '../../lib/log.ts'
import type { KubeObject } from '../../spec/kube/kinds.ts'
import { statusError, statusOf } from '../../spec/kube/status.ts'
import { openStore } from '../store/index.ts'
import type { ApiRequest, ApiResponse, ApiServer, NodeProxy, User } from '../types.ts'
import { authorize } from './authorization.ts'
import { bootstrap } from './bootstrap.ts'
import { createClient } from './client.ts'
import { CustomResources } from './custom/definitions.ts'
import { deleteCollection, deleteObject } from './delete.ts'
import { badRequest, noResource, notAllowed } from './errors.ts'
import { createOpenapi } from './openapi.ts'
import { patchObject } from './patch.ts'
import { getObject, listObjects } from './read.ts'
import { createRegistry } from './registry.ts'
import type { Context, Resource, ServerOptions, Write } from './resource.ts'
import { formOf } from './response.ts'
import { handleSubresource } from './subresources.ts'
import { watchObjects } from './watch.ts'
import { createObject, replace, updateObject } from './write.ts'

export interface ServerDeps {
  db: DatabaseSync
  log: Log
  clock: Clock
  options: ServerOptions
}

/** SQLITE_FULL */
const diskFull = 13

/** Every failure leaves as a SlipwayError whose details are a Status. */
const failed = (context: Context, error: unknown): SlipwayError => {
  const status = statusOf(error)
  if (isError(error))
    return error.details === status
      ? error
      : new SlipwayError(error.code, error.message, { details: status, hint: error.hint, cause: error })
  if ((error as { errcode?: unknown } | undefined)?.errcode === diskFull)
    return statusError('no-space', 'the database of the cluster cannot grow: no space left on device', {
      hint: 'Free some space on the disk that holds the state directory.',
    })
  context.log.error('request failed', { error: messageOf(error), stack: (error as Error).stack })
  return new SlipwayError('internal', status.message, { details: status, cause: error })
}

const managerOf = (request: ApiRequest): string =>
  request.fieldManager || request.user.name.split(':').at(-1) || 'unknown'

export class Server implements ApiServer {
  readonly context: Context
  #nodes: NodeProxy | undefined
  #closed = false
  readonly #openapi: ReturnType<typeof createOpenapi>

  constructor(deps: ServerDeps) {
    const { db, clock, log, options } = deps
    const store = openStore({ db, clock, freeze: options.freeze ?? 'NODE_TEST_CONTEXT' in process.env })
    const registry = createRegistry()
    this.context = {
      store,
      clock,
      log: log.room('api'),
      options,
      registry,
      nodes: () => this.nodes(),
      watches: new Set(),
    }
    this.#openapi = createOpenapi(registry)
    new CustomResources(this.context, {
      replace,
      remove: (context, resource, namespace, name, write) => {
        deleteObject(context, resource, namespace, name, {}, write)
      },
    })
    bootstrap(this.context)
  }

  async handle(request: ApiRequest): Promise<ApiResponse> {
    return this.perform(request)
  }

  /** As handle, but at once. `inProcess`: the caller is a part of this process, so its system user is what it says. */
  perform(request: ApiRequest, inProcess = false): ApiResponse {
    try {
      if (this.#closed) throw statusError('unavailable', 'the API server is shutting down')
      return this.#dispatch(request, inProcess)
    } catch (error) {
      throw failed(this.context, error)
    }
  }

  /** The pod whose subresource is asked for, once the user may have it. */
  podFor(user: User, namespace: string, name: string, subresource: string): KubeObject {
    const pods = this.context.registry.find('', 'v1', 'pods')!
    const verb = subresource === 'log' ? 'get' : 'create'
    try {
      authorize(
        this.context,
        pods,
        { verb, user, group: '', version: 'v1', resource: 'pods', subresource, namespace, name },
        true,
      )
      return getObject(this.context, pods, namespace, name)
    } catch (error) {
      throw failed(this.context, error)
    }
  }

  #dispatch(request: ApiRequest, inProcess: boolean): ApiResponse {
    const { context } = this
    const resource = context.registry.find(request.group, request.version, request.resource)
    if (!resource) throw noResource()
    authorize(context, resource, request, inProcess)
    if (request.namespace && !resource.namespaced && request.resource !== 'namespaces') throw noResource()
    const write = this.#write(request)
    if (resource.serve) {
      if (!resource.verbs.includes(request.verb)) throw notAllowed()
      const object = resource.serve(context, request, write)
      const formed = formOf(context, resource, request, object)
      return { kind: 'object', status: request.verb === 'create' ? 201 : 200, object: formed, warnings: [] }
    }
    if (request.subresource && request.subresource !== 'status') {
      if (!resource.subresources.some((s) => s.name === request.subresource)) throw noResource()
      return handleSubresource(context, resource, request, write)
    }
    if (request.subresource && !resource.hasStatus) throw noResource()
    return this.#verb(resource, request, write)
  }

  #write(request: ApiRequest): Write {
    return {
      user: request.user,
      dryRun: request.dryRun ?? false,
      manager: managerOf(request),
      subresource: request.subresource,
      warnings: [],
    }
  }

  #verb(resource: Resource, request: ApiRequest, write: Write): ApiResponse {
    const { context } = this
    if (!resource.verbs.includes(request.verb)) throw notAllowed()
    const answer = (object: KubeObject, status: 200 | 201 | 202 = 200): ApiResponse => ({
      kind: 'object',
      status,
      object: formOf(context, resource, request, object),
      warnings: write.warnings,
    })
    const namespace = resource.namespaced ? (request.namespace ?? '') : ''
    if (resource.namespaced && request.name && !namespace)
      throw badRequest('an empty namespace may not be set when a resource name is provided')
    switch (request.verb) {
      case 'get':
        return answer(getObject(context, resource, namespace, request.name!))
      case 'list': {
        const page = listObjects(context, resource, request)
        return answer({
          kind: `${resource.kind}List`,
          apiVersion: resource.apiVersion,
          metadata: {
            resourceVersion: String(page.revision),
            ...(page.continue ? { continue: page.continue } : {}),
            ...(page.remaining !== undefined ? { remainingItemCount: page.remaining } : {}),
          },
          items: page.items,
        } as unknown as KubeObject)
      }
      case 'watch': {
        const events = watchObjects(context, resource, request)
        return { kind: 'watch', events: shaped(context, resource, request, events) }
      }
      case 'create': {
        if (!request.object) throw badRequest('the request has no body')
        return answer(createObject(context, resource, request, write), 201)
      }
      case 'update': {
        if (!request.object) throw badRequest('the request has no body')
        return answer(updateObject(context, resource, request, write))
      }
      case 'patch': {
        const { object, created } = patchObject(context, resource, request, write)
        return answer(object, created ? 201 : 200)
      }
      case 'delete': {
        const { object, gone } = deleteObject(
          context,
          resource,
          namespace,
          request.name!,
          request.deleteOptions ?? {},
          write,
        )
        if (!gone || request.resource === 'pods' || request.resource === 'namespaces') return answer(object)
        return { kind: 'object', status: 200, object: success(resource, object), warnings: write.warnings }
      }
      case 'deletecollection': {
        const items = deleteCollection(context, resource, request, write)
        const metadata = { resourceVersion: String(context.store.revision) }
        return answer({
          kind: `${resource.kind}List`,
          apiVersion: resource.apiVersion,
          metadata,
          items,
        } as unknown as KubeObject)
      }
    }
  }

  resources() {
    return this.context.registry.all().map((r) => ({
      kind: r.kindInfo,
      verbs: r.verbs,
      subresources: r.subresources,
      storageVersion: r.conversion?.storage.version ?? r.version,
    }))
  }
  client(user: User) {
    return createClient(this, user)
  }
  connectNodes(nodes: NodeProxy): void {
    this.#nodes = nodes
  }
  nodes(): NodeProxy {
    if (!this.#nodes)
      throw statusError('unavailable', 'the node is not ready yet', { details: { retryAfterSeconds: 1 } })
    return this.#nodes
  }
  openapi() {
    return this.#openapi
  }
  statusOf(error: unknown): KubeObject & { code: number } {
    return statusOf(error)
  }
  async close(): Promise<void> {
    this.#closed = true
    for (const end of [...this.context.watches]) end()
  }
}

const success = (resource: Resource, object: KubeObject): KubeObject =>
  ({
    kind: 'Status',
    apiVersion: 'v1',
    metadata: {},
    status: 'Success',
    details: {
      name: object.metadata.name,
      ...(resource.group ? { group: resource.group } : {}),
      kind: resource.resource,
      uid: object.metadata.uid,
    },
  }) as unknown as KubeObject

async function* shaped(
  context: Context,
  resource: Resource,
  request: ApiRequest,
  events: ReturnType<typeof watchObjects>,
): AsyncGenerator<{ type: 'ADDED' | 'MODIFIED' | 'DELETED' | 'BOOKMARK' | 'ERROR'; object: unknown }> {
  if (!request.table && !request.metadataOnly && !resource.conversion) {
    yield* events
    return
  }
  for await (const event of events)
    yield event.type === 'ERROR'
      ? event
      : { type: event.type, object: formOf(context, resource, request, event.object) }
}
