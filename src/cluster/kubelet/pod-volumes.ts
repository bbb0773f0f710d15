/** The volumes of this node's pods, and what they and the environment are made from. */
import { join } from 'node:path'
import { isError, messageOf, SlipwayError } from '../../errors.ts'
import { KeyedMutex } from '../../lib/keyed-mutex.ts'
import { quantityMilli, quantityValue } from '../../lib/quantity.ts'
import type { Container, Pod } from '../../spec/kube/generated/types.ts'
import * as kinds from '../../spec/kube/kinds.ts'
import { podField } from './env.ts'
import { hostCapacity } from './host.ts'
import { PodTokens } from './tokens.ts'
import type { KubeletDeps } from './types.ts'
import { type MountedVolume, mountVolume, type VolumePlaces, type VolumeSources } from './volumes.ts'

export const podPlaces = (deps: Pick<KubeletDeps, 'stateDir' | 'runDir'>, uid: string): VolumePlaces => ({
  disk: join(deps.stateDir, 'pods', uid),
  memory: join(deps.runDir, 'pods', uid),
})

export class PodVolumes {
  #deps: KubeletDeps
  #tokens: PodTokens
  /** One at a time a pod: two containers that start together must not both write a projected volume. */
  #locks = new KeyedMutex()

  constructor(deps: KubeletDeps) {
    this.#deps = deps
    this.#tokens = new PodTokens(deps.client, deps.clock)
  }

  /** All volumes of the pod, made or refreshed. A missing ConfigMap, Secret or claim: 'precondition' or 'not-found'. */
  mount(pod: Pod, podIP: string | undefined): Promise<Map<string, MountedVolume>> {
    return this.#locks.run(pod.metadata.uid!, async () => {
      const sources = this.sources(pod, undefined, podIP)
      const places = podPlaces(this.#deps, pod.metadata.uid!)
      const mounted = new Map<string, MountedVolume>()
      for (const volume of pod.spec?.volumes ?? []) {
        try {
          mounted.set(volume.name, await mountVolume(pod, volume, places, sources, this.#deps.sys))
        } catch (error) {
          const message = `MountVolume.SetUp failed for volume "${volume.name}" : ${messageOf(error)}`
          throw new SlipwayError(isError(error) ? error.code : 'internal', message, {
            details: { reason: 'FailedMount' },
            cause: error,
          })
        }
      }
      return mounted
    })
  }

  /** Is a token in one of the pod's volumes to be renewed? */
  tokenDue(pod: Pod): boolean {
    return this.#tokens.due(pod)
  }

  forget(uid: string): void {
    this.#tokens.forget(uid)
  }

  /** ConfigMaps, Secrets, claims, the pod's own fields; resources are those of `container` unless a reference names another. */
  sources(pod: Pod, container: Container | undefined, podIP: string | undefined): VolumeSources {
    const { informers, node } = this.#deps
    const namespace = pod.metadata.namespace!
    return {
      configMap: (name) => informers.of(kinds.ConfigMap).get(namespace, name),
      secret: (name) => informers.of(kinds.Secret).get(namespace, name),
      services: () => informers.of(kinds.Service).list(),
      claim: (name) => informers.of(kinds.PersistentVolumeClaim).get(namespace, name),
      volume: (name) => informers.of(kinds.PersistentVolume).get(undefined, name),
      field: (path) =>
        podField(pod, path, { node: node.name, hostIP: node.address, podIP: podIP ?? pod.status?.podIP }),
      resource: (ref) => resourceField(pod, container, ref),
      token: (audience, seconds) => this.#tokens.get(pod, audience, seconds),
    }
  }
}

/** A limit that is not set is what the node has; a request that is not set is the limit, if there is one. */
export const resourceField = (
  pod: Pod,
  container: Container | undefined,
  ref: { containerName?: string | undefined; resource: string; divisor?: string | undefined },
): string => {
  const all = [...pod.spec!.containers, ...(pod.spec!.initContainers ?? [])]
  const of = ref.containerName ? all.find((c) => c.name === ref.containerName) : (container ?? all[0])
  const [kind, name] = ref.resource.split(/\.(.*)/s) as ['limits' | 'requests', string]
  const { limits = {}, requests = {} } = of?.resources ?? {}
  const text = kind === 'limits' ? (limits[name] ?? nodeHas(name)) : (requests[name] ?? limits[name] ?? '0')
  const divisor = ref.divisor && ref.divisor !== '0' ? ref.divisor : '1'
  return name === 'cpu'
    ? String(Math.ceil(quantityMilli(text) / quantityMilli(divisor)))
    : String(Math.ceil(quantityValue(text) / quantityValue(divisor)))
}

const nodeHas = (resource: string): string => {
  const { cpus, memoryBytes } = hostCapacity()
  return resource === 'cpu' ? String(cpus) : resource === 'memory' ? String(memoryBytes) : '0'
}
