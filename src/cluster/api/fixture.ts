/** For tests: a cluster in memory, and short ways to ask it. */
import assert from 'node:assert/strict'
import { isError } from '../../errors.ts'
import type { Clock } from '../../lib/clock.ts'
import { systemClock } from '../../lib/clock.ts'
import { openDatabase } from '../../lib/database.ts'
import { silentLog } from '../../lib/log.ts'
import type { KubeObject } from '../../spec/kube/kinds.ts'
import type { Status } from '../../spec/kube/status.ts'
import type { ApiRequest, ApiResponse, ApiServer, User } from '../types.ts'
import { createApiServer, type ServerOptions } from './index.ts'
import type { Draft } from './resource.ts'

export const admin: User = { name: 'system:admin', groups: ['system:masters', 'system:authenticated'] }
export const jane: User = { name: 'jane', groups: ['system:authenticated'] }

interface TestCluster {
  api: ApiServer
  client: ReturnType<ApiServer['client']>
  /** One request; `path` is "deployments.apps/v1", "pods/status", "autoscaling/v1…" as group/version resource. */
  ask(verb: ApiRequest['verb'], path: string, more?: Partial<ApiRequest>): Promise<Draft>
  watch(path: string, more?: Partial<ApiRequest>): Promise<AsyncIterable<{ type: string; object: Draft }>>
}

const parse = (path: string): Pick<ApiRequest, 'group' | 'version' | 'resource' | 'subresource'> => {
  const [left, resource, subresource] = path.split(' ')[1]
    ? [path.split(' ')[0]!, ...path.split(' ')[1]!.split('/')]
    : ['v1', ...path.split('/')]
  const [group, version] = left!.includes('/') ? left!.split('/') : ['', left]
  return { group: group!, version: version!, resource: resource!, subresource }
}

export const cluster = (options: Partial<ServerOptions> & { clock?: Clock } = {}): TestCluster => {
  const { clock = systemClock, ...rest } = options
  const api = createApiServer({
    db: openDatabase(':memory:'),
    clock,
    log: silentLog,
    options: { serviceCidr: '10.96.0.0/16', clusterDnsAddress: '10.96.0.10', nodeName: 'node', ...rest },
  })
  const handle = (verb: ApiRequest['verb'], path: string, more: Partial<ApiRequest>): Promise<ApiResponse> =>
    api.handle({ verb, user: admin, ...parse(path), namespace: 'default', ...more })
  return {
    api,
    client: api.client(admin),
    async ask(verb, path, more = {}) {
      const answer = await handle(verb, path, more)
      assert.equal(answer.kind, 'object')
      return answer.kind === 'object' ? answer.object : undefined
    },
    async watch(path, more = {}) {
      const answer = await handle('watch', path, more)
      assert.equal(answer.kind, 'watch')
      if (answer.kind !== 'watch') throw new Error('no watch')
      return answer.events as AsyncIterable<{ type: string; object: Draft }>
    },
  }
}

/** The Status a request fails with. */
export const failureOf = async (request: Promise<unknown>): Promise<Status> => {
  try {
    await request
  } catch (error) {
    assert.ok(isError(error), String((error as Error).stack ?? error))
    return error.details as Status
  }
  throw new assert.AssertionError({ message: 'the request did not fail' })
}
/** "field: message" of each cause. */
export const causesOf = async (request: Promise<unknown>): Promise<string[]> => {
  const status = await failureOf(request)
  return (status.details?.causes ?? []).map((c) => `${c.field}: ${c.message}`)
}

export const pod = (name: string, spec: Draft = {}, metadata: Draft = {}): KubeObject => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name, namespace: 'default', ...metadata },
  spec: { containers: [{ name: 'main', image: 'example/app:1' }], ...spec },
})
export const deployment = (name: string, spec: Draft = {}, podSpec: Draft = {}): KubeObject => ({
  apiVersion: 'apps/v1',
  kind: 'Deployment',
  metadata: { name, namespace: 'default' },
  spec: {
    selector: { matchLabels: { app: name } },
    template: {
      metadata: { labels: { app: name } },
      spec: { containers: [{ name: 'main', image: 'example/app:1' }], ...podSpec },
    },
    ...spec,
  },
})
