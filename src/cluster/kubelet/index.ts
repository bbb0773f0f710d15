import type { Events } from '../../engine/index.ts'
import type { NodeProxy } from '../types.ts'
import { Node } from './kubelet.ts'
import { UsageMeter } from './metrics.ts'
import { registerNode } from './node-object.ts'
import { nodeProxy } from './node-proxy.ts'
import type { KubeletDeps } from './types.ts'

export { kubeletVersion } from './node-object.ts'

interface Kubelet {
  nodes: NodeProxy
  /** Resolves when pods that ran before are taken over and the Node is Ready. */
  start(): Promise<void>
  /** Lets go; containers run on. */
  close(): void
}

const samplingMs = 10_000

export const createKubelet = (deps: KubeletDeps, events: Pick<Events, 'on'>): Kubelet => {
  const node = new Node(deps)
  const meter = new UsageMeter(deps, node.index)
  const stop = new AbortController()
  const sample = (): void => {
    meter.pods(node.workers())
    meter.node()
  }
  let sampler: NodeJS.Timeout | undefined
  const watched = new Set(['create', 'start', 'die', 'oom', 'destroy', 'pause', 'unpause'])
  const end = events.on((event) => {
    if (event.type !== 'container' || !watched.has(event.action)) return
    const container = deps.engine.containers.get(event.id)
    if (!container) return
    if (event.action === 'start') meter.begin(container)
    node.containerChanged(container)
  })
  return {
    nodes: nodeProxy(node, meter),
    async start() {
      await registerNode(deps, stop.signal)
      await node.start()
      // Rates need two samples: taken all the time, so that the first question has an answer.
      sample()
      sampler = setInterval(() => sample(), samplingMs).unref()
    },
    close() {
      stop.abort()
      clearInterval(sampler)
      end()
      node.close()
    },
  }
}
