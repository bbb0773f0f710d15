import { isError, messageOf } from '../../../errors.ts'
import type {
  Deployment as DeploymentObject,
  Pod as PodObject,
  ReplicaSet as ReplicaSetObject,
} from '../../../spec/kube/generated/types.ts'
import { Deployment, Pod, ReplicaSet } from '../../../spec/kube/kinds.ts'
import { isEmptySelector } from '../../../spec/kube/label-selector.ts'
import { adopters, claim } from '../objects/claim.ts'
import { equal } from '../objects/meta.ts'
import { type Context, controller, keyFor, watch } from '../run/controller.ts'
import { controllerOf } from '../run/owned.ts'
import { type DeploymentStep, planDeployment } from './plan.ts'
import { replicasOf, revisionKey } from './revisions.ts'
import { deadlineLeft, deploymentStatus, type StatusInput } from './status.ts'

export const deployments = controller({
  name: 'deployment-controller',
  for: Deployment,
  owns: [ReplicaSet],
  watches: [
    watch(ReplicaSet, (set, { informers }) =>
      adopters(set, informers.of(Deployment).list(set.metadata.namespace)).map(keyFor),
    ),
    // Recreate waits for the last old pod to be gone.
    watch(Pod, (pod, { informers, type }) => {
      if (type !== 'DELETED' && pod.status?.phase !== 'Succeeded' && pod.status?.phase !== 'Failed') return []
      const set = informers.of(ReplicaSet).get(pod.metadata.namespace, controllerOf(pod)?.name ?? '')
      const name = set && controllerOf(set)?.name
      const deployment = name ? informers.of(Deployment).get(pod.metadata.namespace, name) : undefined
      return deployment?.spec?.strategy?.type === 'Recreate' ? [keyFor(deployment)] : []
    }),
  ],
  async reconcile(key, context) {
    const { objects, informers, owned, recorder, clock } = context
    const deployment = informers.of(Deployment).get(key.namespace, key.name)
    if (!deployment) return
    if (isEmptySelector(deployment.spec?.selector)) {
      const message = 'This deployment is selecting all pods. A non-empty selector is required.'
      recorder.event(Deployment, deployment, 'Warning', 'SelectingAll', message)
      return
    }
    const sets = await claim(ReplicaSet, Deployment, deployment, deployment.spec?.selector, context)
    const pods = new Map<string, PodObject[]>(sets.map((set) => [set.metadata.uid!, owned.by(Pod, set.metadata.uid)]))
    const plan = planDeployment(deployment, sets, pods)
    const done = await perform(plan.steps, deployment, context)
    const input = {
      deployment: done.deployment,
      current: done.created ?? plan.current,
      old: plan.old,
      now: clock.now(),
    }
    const status = deploymentStatus({ ...input, happened: done.happened })
    if (!equal(status, done.deployment.status)) await objects.updateStatus(Deployment, { ...done.deployment, status })
    if (done.error !== undefined) throw done.error
    const left = deadlineLeft(deployment, status, clock.now())
    return { requeueAfter: Number.isFinite(left) ? Math.max(1000, left + 1000) : undefined }
  },
})

interface Done {
  deployment: DeploymentObject
  created?: ReplicaSetObject | undefined
  happened?: StatusInput['happened']
  error?: unknown
}

const perform = async (
  steps: readonly DeploymentStep[],
  deployment: DeploymentObject,
  context: Context,
): Promise<Done> => {
  const { objects, recorder } = context
  const { namespace, name } = deployment.metadata
  const done: Done = { deployment }
  const tell = (set: ReplicaSetObject, from: number, to: number): void => {
    if (from === to) return
    const message = `Scaled ${to > from ? 'up' : 'down'} replica set ${set.metadata.name} from ${from} to ${to}`
    recorder.event(Deployment, deployment, 'Normal', 'ScalingReplicaSet', message)
  }
  const setRevision = async (revision: string): Promise<void> => {
    const body = { metadata: { annotations: { [revisionKey]: revision } } }
    done.deployment = await objects.patch(Deployment, { namespace, name: name! }, { type: 'merge', body })
  }
  for (const step of steps) {
    if (step.do === 'revision') await setRevision(step.revision)
    else if (step.do === 'delete') {
      const preconditions = { uid: step.set.metadata.uid! }
      await objects.delete(ReplicaSet, keyFor(step.set), { preconditions })
    } else if (step.do === 'annotate') {
      const body = { metadata: { annotations: step.annotations }, spec: { minReadySeconds: step.minReadySeconds } }
      await objects.patch(ReplicaSet, keyFor(step.set), { type: 'merge', body })
    } else if (step.do === 'scale') {
      const { resourceVersion } = step.set.metadata
      const spec = step.replicas === undefined ? {} : { spec: { replicas: step.replicas } }
      const body = { metadata: { resourceVersion, annotations: step.annotations }, ...spec }
      await objects.patch(ReplicaSet, keyFor(step.set), { type: 'merge', body })
      tell(step.set, replicasOf(step.set), step.replicas ?? replicasOf(step.set))
    } else {
      await createSet(step.set, done, context)
      if (!done.created) return done
      tell(done.created, 0, replicasOf(done.created))
      await setRevision(done.created.metadata.annotations?.[revisionKey] ?? '1')
    }
  }
  return done
}

const createSet = async (set: ReplicaSetObject, done: Done, { objects, recorder }: Context): Promise<void> => {
  const { deployment } = done
  try {
    done.created = await objects.create(ReplicaSet, set)
    done.happened = { created: set.metadata.name }
  } catch (error) {
    if (!isError(error, 'already-exists')) {
      const message = `Failed to create new replica set "${set.metadata.name}": ${messageOf(error)}`
      recorder.event(Deployment, deployment, 'Warning', 'ReplicaSetCreateError', message)
      done.happened = { failed: message }
      done.error = error
      return
    }
    // Ours, not seen yet: its event brings us back. Somebody else's: another name, by a salt in the hash.
    const existing = await objects.get(ReplicaSet, keyFor(set))
    if (!existing || controllerOf(existing)?.uid === deployment.metadata.uid) {
      done.error = error
      return
    }
    const status = { ...deployment.status, collisionCount: (deployment.status?.collisionCount ?? 0) + 1 }
    done.deployment = await objects.updateStatus(Deployment, { ...deployment, status })
  }
}
