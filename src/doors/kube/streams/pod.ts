import type { ApiServer, User } from '../../../cluster/types.ts'
import type { KubeObject } from '../../../spec/kube/kinds.ts'
import { statusError } from '../../../spec/kube/status.ts'
import { requireAccess } from '../access.ts'
import { doorUser } from '../authenticate.ts'
import { badRequest } from '../refusals.ts'

interface PodShape {
  metadata: { name: string; annotations?: Record<string, string> }
  spec?: {
    nodeName?: string
    containers?: { name: string }[]
    initContainers?: { name: string }[]
    ephemeralContainers?: { name: string }[]
  }
  status?: Partial<Record<'containerStatuses' | 'initContainerStatuses' | 'ephemeralContainerStatuses', Running[]>>
}
interface Running {
  name: string
  state?: { running?: unknown }
}
const shape = (pod: KubeObject): PodShape => pod as unknown as PodShape

/** The pod a stream is wanted from, once `user` may have it. Streams start programs, so they need 'create'; logs 'get'. */
export const podForStream = async (
  api: ApiServer,
  user: User,
  key: { namespace: string; name: string },
  subresource: 'log' | 'exec' | 'attach' | 'portforward',
): Promise<KubeObject> => {
  const verb = subresource === 'log' ? 'get' : 'create'
  await requireAccess(api, user, { verb, resource: 'pods', subresource, ...key })
  const pods = { group: '', version: 'v1', resource: 'pods' }
  const answer = await api.handle({ verb: 'get', user: doorUser, ...pods, ...key })
  if (answer.kind !== 'object') throw new Error('a watch where a pod was expected')
  return answer.object
}

const namesOf = (list: { name: string }[] | undefined): string[] => (list ?? []).map((c) => c.name)

/** The container meant by `asked`: the one named, the annotated default, or the only one (kubernetes pkg/registry/core/pod). */
export const chooseContainer = (pod: KubeObject, asked: string | undefined): string => {
  const { metadata, spec = {} } = shape(pod)
  const containers = namesOf(spec.containers)
  const init = namesOf(spec.initContainers)
  const ephemeral = namesOf(spec.ephemeralContainers)
  const all = [...containers, ...init, ...ephemeral]
  if (asked) {
    if (!all.includes(asked)) throw badRequest(`container ${asked} is not valid for pod ${metadata.name}`)
    return asked
  }
  const preferred = metadata.annotations?.['kubectl.kubernetes.io/default-container']
  if (preferred && all.includes(preferred)) return preferred
  if (containers.length === 1 && init.length === 0 && ephemeral.length === 0) return containers[0]!
  let choices = `[${containers.join(' ')}]`
  if (init.length) choices += ` or one of the init containers: [${init.join(' ')}]`
  if (ephemeral.length) choices += ` or one of the ephemeral containers: [${ephemeral.join(' ')}]`
  throw badRequest(`a container name must be specified for pod ${metadata.name}, choose one of: ${choices}`)
}

export const isScheduled = (pod: KubeObject): boolean => !!shape(pod).spec?.nodeName

/** Refuses streams to pods that no node has, and to containers that do not run. */
export const requireRunning = (pod: KubeObject, container?: string): void => {
  const { metadata, status = {} } = shape(pod)
  if (!isScheduled(pod)) throw badRequest(`pod ${metadata.name} does not have a host assigned`)
  if (!container) return
  const states = [
    ...(status.containerStatuses ?? []),
    ...(status.initContainerStatuses ?? []),
    ...(status.ephemeralContainerStatuses ?? []),
  ]
  if (!states.find((s) => s.name === container)?.state?.running) {
    throw statusError('internal', `container not found ("${container}")`)
  }
}
