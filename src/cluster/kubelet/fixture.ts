/** Pods, tries and a clock for the tests of this room. */
import type { Container as EngineContainer } from '../../engine/index.ts'
import type { Clock } from '../../lib/clock.ts'
import type { Container, Pod, PodSpec } from '../../spec/kube/generated/types.ts'
import { isOver } from './plan.ts'
import { label, type Observed } from './types.ts'

export const now = Date.parse('2026-01-02T03:04:05Z')

export const pod = (spec: Partial<PodSpec> = {}, more: Partial<Pod> = {}): Pod => ({
  metadata: { name: 'p', namespace: 'ns', uid: 'uid', ...more.metadata },
  spec: { containers: [{ name: 'c', image: 'web:1' }], ...spec },
  ...(more.status ? { status: more.status } : {}),
})
export const container = (more: Partial<Container> = {}): Container => ({ name: 'c', image: 'web:1', ...more })

type Fields = Partial<EngineContainer> & { attempt?: number; streak?: number; image?: string }

/** An ended try that ran for a second until now, unless told otherwise. */
export const tried = ({ attempt = 0, streak = 0, image = 'web:1', ...more }: Fields = {}): EngineContainer =>
  ({
    id: `id-${attempt}`,
    status: 'exited',
    exitCode: 1,
    error: '',
    oomKilled: false,
    imageId: 'sha256:1',
    createdAt: now - 1000,
    startedAt: now - 1000,
    finishedAt: now,
    spec: { labels: { [label.attempt]: String(attempt), [label.streak]: String(streak), [label.image]: image } },
    ...more,
  }) as EngineContainer
export const runs = (more: Fields = {}): EngineContainer => tried({ status: 'running', finishedAt: undefined, ...more })

export const seen = (
  of: Pod,
  tries: Record<string, EngineContainer[]> = {},
  more: Partial<Observed> = {},
): Observed => {
  const map = new Map(Object.entries(tries))
  return {
    pod: of,
    now,
    over: isOver(of, map, more.now ?? now),
    sandboxReady: true,
    tries: map,
    probes: new Map(),
    waiting: new Map(),
    condemned: new Map(),
    lastWords: new Map(),
    ...more,
  }
}

/** Time that stands still until `advance`; whoever sleeps wakes in order. */
export class TestClock implements Clock {
  #now = now
  #sleepers: { at: number; wake: () => void }[] = []
  now(): number {
    return this.#now
  }
  random(): number {
    return 0.5
  }
  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason)
      this.#sleepers.push({ at: this.#now + ms, wake: resolve })
      signal?.addEventListener('abort', () => reject(signal.reason), { once: true })
    })
  }
  async advance(ms: number): Promise<void> {
    const end = this.#now + ms
    for (;;) {
      await settled()
      const next = this.#sleepers.sort((a, b) => a.at - b.at)[0]
      if (!next || next.at > end) break
      this.#sleepers.shift()
      this.#now = next.at
      next.wake()
    }
    this.#now = end
    await settled()
  }
}
const settled = async (): Promise<void> => {
  for (let i = 0; i < 20; i++) await Promise.resolve()
}
