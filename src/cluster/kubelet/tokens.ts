/** Service account tokens of pods: asked for once, and again when four fifths of their life are over (the kubelet's rule). */
import type { Clock } from '../../lib/clock.ts'
import type { ObjectClient } from '../../spec/kube/client.ts'
import type { Pod } from '../../spec/kube/generated/types.ts'
import * as kinds from '../../spec/kube/kinds.ts'

interface Held {
  token: string
  /** ms since the epoch. */
  renewAt: number
}
/** However long it lives, a token is renewed after a day. */
const longest = 24 * 3600 * 1000

export class PodTokens {
  #held = new Map<string, Map<string, Held>>()
  #client: Pick<ObjectClient, 'createSubresource'>
  #clock: Clock

  constructor(client: Pick<ObjectClient, 'createSubresource'>, clock: Clock) {
    this.#client = client
    this.#clock = clock
  }

  async get(pod: Pod, audience: string | undefined, seconds: number): Promise<string> {
    const uid = pod.metadata.uid!
    const id = `${audience ?? ''} ${seconds}`
    const now = this.#clock.now()
    const held = this.#held.get(uid)?.get(id)
    if (held && held.renewAt > now) return held.token
    const request = {
      apiVersion: 'authentication.k8s.io/v1',
      kind: 'TokenRequest',
      metadata: {},
      spec: {
        ...(audience ? { audiences: [audience] } : {}),
        expirationSeconds: seconds,
        boundObjectRef: { apiVersion: 'v1', kind: 'Pod', name: pod.metadata.name, uid },
      },
    }
    const key = { namespace: pod.metadata.namespace!, name: pod.spec?.serviceAccountName ?? 'default' }
    const answer = await this.#client.createSubresource(kinds.ServiceAccount, key, 'token', request)
    const { token } = answer.status as { token: string }
    const ofPod = this.#held.get(uid) ?? new Map<string, Held>()
    ofPod.set(id, { token, renewAt: now + Math.min(seconds * 800, longest) })
    this.#held.set(uid, ofPod)
    return token
  }

  /** Has the pod a token that should be renewed now, or (after a restart of the daemon) one of unknown age? */
  due(pod: Pod): boolean {
    if (!pod.spec?.volumes?.some((v) => v.projected?.sources?.some((s) => s.serviceAccountToken))) return false
    const held = this.#held.get(pod.metadata.uid!)
    return !held || [...held.values()].some((h) => h.renewAt <= this.#clock.now())
  }

  forget(uid: string): void {
    this.#held.delete(uid)
  }
}
