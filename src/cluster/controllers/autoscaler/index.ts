import { isError, messageOf } from '../../../errors.ts'
import { timestamp } from '../../../lib/timestamp.ts'
import type { PodUsage } from '../../../spec/kube/client.ts'
import type {
  HorizontalPodAutoscaler as AutoscalerObject,
  HorizontalPodAutoscalerCondition as Condition,
} from '../../../spec/kube/generated/types.ts'
import { HorizontalPodAutoscaler, Pod } from '../../../spec/kube/kinds.ts'
import { labelMatcher } from '../../../spec/kube/labels.ts'
import { resourcesOf } from '../lifecycle/resources.ts'
import { withCondition } from '../objects/conditions.ts'
import { equal } from '../objects/meta.ts'
import { type Context, type Controller, controller, keyText } from '../run/controller.ts'
import type { AnyKind } from '../run/writes.ts'
import { follow, noPast, type Past, remember } from './behavior.ts'
import { evaluateMetrics } from './metrics.ts'

interface Memory extends Past {
  uid: string
  /** Not looked at before, unless its spec changes. */
  next: number
  generation: number | undefined
}

/** Autoscalers are looked at on a clock, not on changes: usage changes without an event. No autoscaler, no timer. */
export const autoscalers = (): Controller => {
  const memories = new Map<string, Memory>()
  return controller({
    name: 'horizontal-pod-autoscaler',
    for: HorizontalPodAutoscaler,
    async reconcile(key, context) {
      const { informers, clock, options } = context
      const id = keyText(key)
      const hpa = informers.of(HorizontalPodAutoscaler).get(key.namespace, key.name)
      if (!hpa || hpa.metadata.deletionTimestamp) {
        memories.delete(id)
        return
      }
      const known = memories.get(id)
      const uid = hpa.metadata.uid!
      const memory: Memory = known?.uid === uid ? known : { uid, next: 0, generation: undefined, ...noPast() }
      memories.set(id, memory)
      const now = clock.now()
      if (now < memory.next && memory.generation === hpa.metadata.generation) return { requeueAfter: memory.next - now }
      const interval = options.autoscalerInterval ?? 15_000
      memory.next = now + interval
      memory.generation = hpa.metadata.generation
      await look(hpa, memory, context)
      return { requeueAfter: interval }
    },
  })
}

const look = async (hpa: AutoscalerObject, memory: Memory, context: Context): Promise<void> => {
  const turn = new Turn(hpa, context)
  await turn.run(memory)
  const status = { ...turn.status, observedGeneration: hpa.metadata.generation }
  if (!equal(status, hpa.status)) await context.objects.updateStatus(HorizontalPodAutoscaler, { ...hpa, status })
}

/** One look at one autoscaler. */
class Turn {
  readonly hpa: AutoscalerObject
  readonly context: Context
  status: NonNullable<AutoscalerObject['status']>

  constructor(hpa: AutoscalerObject, context: Context) {
    this.hpa = hpa
    this.context = context
    this.status = { ...hpa.status, desiredReplicas: hpa.status?.desiredReplicas ?? 0 }
  }

  #condition(type: string, status: 'True' | 'False', reason: string, message: string): void {
    const condition: Condition = { type, status, reason, message }
    this.status.conditions = withCondition(this.status.conditions, condition, this.context.clock.now())
  }
  #event(type: 'Normal' | 'Warning', reason: string, message: string): void {
    this.context.recorder.event(HorizontalPodAutoscaler, this.hpa, type, reason, message)
  }

  async run(memory: Memory): Promise<void> {
    const { objects } = this.context
    const { namespace } = this.hpa.metadata
    const reference = this.hpa.spec!.scaleTargetRef
    const kind = this.#targetKind()
    const key = { namespace, name: reference.name }
    let scale: Awaited<ReturnType<typeof objects.getScale>>
    try {
      scale = kind && (await objects.getScale(kind, key))
      if (!scale) throw new Error(`${reference.kind} "${reference.name}" not found`)
    } catch (error) {
      const message = messageOf(error)
      this.#event('Warning', 'FailedGetScale', message)
      this.#condition(
        'AbleToScale',
        'False',
        'FailedGetScale',
        `the HPA controller was unable to get the target's current scale: ${message}`,
      )
      return
    }
    this.#condition(
      'AbleToScale',
      'True',
      'SucceededGetScale',
      "the HPA controller was able to get the target's current scale",
    )
    const current = scale.replicas
    this.status.currentReplicas = current
    const decision = await this.#decide(current, scale.selector, memory)
    if (!decision) return
    if (decision.replicas !== current) await this.#rescale(kind!, key, current, decision, memory)
    else this.status.desiredReplicas = current
  }

  #targetKind(): AnyKind | undefined {
    const { apiVersion = '', kind } = this.hpa.spec!.scaleTargetRef
    const group = apiVersion.includes('/') ? apiVersion.split('/')[0] : ''
    return resourcesOf(this.context.options).find((one) => one.kind === kind && one.group === group)
  }

  /** What should be, and why; undefined when nothing can be said. */
  async #decide(
    current: number,
    selector: string,
    memory: Memory,
  ): Promise<{ replicas: number; reason: string } | undefined> {
    const { maxReplicas, minReplicas = 1 } = this.hpa.spec!
    if (current === 0 && minReplicas !== 0) {
      this.#condition(
        'ScalingActive',
        'False',
        'ScalingDisabled',
        'scaling is disabled since the replica count of the target is zero',
      )
      this.status.desiredReplicas = 0
      return undefined
    }
    if (current > maxReplicas)
      return { replicas: maxReplicas, reason: 'Current number of replicas above Spec.MaxReplicas' }
    if (current < minReplicas)
      return { replicas: minReplicas, reason: 'Current number of replicas below Spec.MinReplicas' }
    if (selector === '') {
      this.#event('Warning', 'SelectorRequired', 'selector is required')
      this.#condition('ScalingActive', 'False', 'InvalidSelector', "the HPA target's scale is missing a selector")
      return undefined
    }
    const now = this.context.clock.now()
    const { namespace } = this.hpa.metadata
    const matches = labelMatcher(selector)
    const pods = this.context.informers
      .of(Pod)
      .list(namespace)
      .filter((pod) => matches(pod.metadata.labels))
    const usage = await this.#usage(selector)
    const metrics = evaluateMetrics({ hpa: this.hpa, current, pods, usage, now })
    if (metrics.statuses.length > 0) this.status.currentMetrics = metrics.statuses
    if (metrics.failure) {
      const { reason, detail, tally } = metrics.failure
      const message = `the HPA was unable to compute the replica count: ${detail}`
      this.#event('Warning', reason, detail)
      this.#event('Warning', 'FailedComputeMetricsReplicas', `invalid metrics (${tally}), first error is: ${detail}`)
      this.#condition('ScalingActive', 'False', reason, message)
      return undefined
    }
    this.#condition(
      'ScalingActive',
      'True',
      'ValidMetricFound',
      `the HPA was able to successfully calculate a replica count from ${metrics.name}`,
    )
    const { replicas, able, limited } = follow(this.hpa, current, metrics.replicas, memory, now)
    this.#condition('AbleToScale', 'True', able.reason, able.message)
    this.#condition('ScalingLimited', limited.status, limited.reason, limited.message)
    return { replicas, reason: replicas > current ? `${metrics.name} above target` : 'All metrics below target' }
  }

  async #usage(labels: string): Promise<PodUsage[] | undefined> {
    try {
      return await this.context.objects.podMetrics({ namespace: this.hpa.metadata.namespace, labels })
    } catch (error) {
      if (isError(error, 'unavailable', 'not-found', 'unsupported')) return undefined
      throw error
    }
  }

  async #rescale(
    kind: AnyKind,
    key: { namespace: string | undefined; name: string },
    current: number,
    { replicas, reason }: { replicas: number; reason: string },
    memory: Memory,
  ): Promise<void> {
    const { objects, clock } = this.context
    try {
      await objects.setScale(kind, key, replicas)
    } catch (error) {
      const message = messageOf(error)
      this.#event('Warning', 'FailedRescale', `New size: ${replicas}; reason: ${reason}; error: ${message}`)
      this.#condition(
        'AbleToScale',
        'False',
        'FailedUpdateScale',
        `the HPA controller was unable to update the target scale: ${message}`,
      )
      return
    }
    this.#condition(
      'AbleToScale',
      'True',
      'SucceededRescale',
      `the HPA controller was able to update the target scale to ${replicas}`,
    )
    this.#event('Normal', 'SuccessfulRescale', `New size: ${replicas}; reason: ${reason}`)
    remember(memory, current, replicas, clock.now())
    this.status.desiredReplicas = replicas
    this.status.lastScaleTime = timestamp(clock.now())
  }
}
