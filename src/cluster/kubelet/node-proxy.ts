/** logs, exec, attach and port-forward for the API server: the NodeProxy over the engine. */
import { PassThrough } from 'node:stream'
import type { Container as EngineContainer, Io, LogOptions } from '../../engine/index.ts'
import { SlipwayError } from '../../errors.ts'
import type { ExecSession, PodExecOptions, PodLogOptions } from '../../spec/kube/client.ts'
import type { Pod } from '../../spec/kube/generated/types.ts'
import type { KubeObject } from '../../spec/kube/kinds.ts'
import type { NodeProxy } from '../types.ts'
import type { Node } from './kubelet.ts'
import type { UsageMeter } from './metrics.ts'
import { forward } from './port-forward.ts'
import { hasEnded } from './tries.ts'

export const nodeProxy = (node: Node, meter: UsageMeter): NodeProxy => ({
  logs: (pod, options) => podLogs(node, pod as unknown as Pod, options),
  exec: async (pod, options) => {
    const { containers } = node.deps.engine
    const container = runningContainer(node, pod, options.container)
    const exec = await containers.createExec(container.id, {
      args: options.command,
      tty: options.tty,
      stdin: options.stdin,
      stdout: options.stdout,
      stderr: options.stderr,
    })
    const io = await containers.startExec(exec.id)
    return session(io, options, async () => ({ exitCode: await containers.waitExec(exec.id) }))
  },
  attach: async (pod, options) => {
    const { containers } = node.deps.engine
    const container = runningContainer(node, pod, options.container)
    const io = await containers.attach(container.id, {
      stdin: options.stdin,
      stdout: options.stdout,
      stderr: options.stderr,
      stream: true,
    })
    return session(io, options, async () => {
      const { exitCode } = await containers.wait(container.id, 'not-running')
      return { exitCode }
    })
  },
  portForward: (pod, port) => forward(node, pod, port),
  podUsage: () => meter.pods(node.workers()),
  nodeUsage: () => meter.node(),
})

const names = (pod: KubeObject): string[] => {
  const { spec } = pod as unknown as Pod
  return [...(spec?.containers ?? []), ...(spec?.initContainers ?? []), ...(spec?.ephemeralContainers ?? [])].map(
    (c) => c.name,
  )
}

const newestTry = (node: Node, pod: KubeObject, wanted: string | undefined): EngineContainer => {
  const name = wanted ?? names(pod)[0]!
  const found = node.index.tries(pod.metadata.uid!).get(name)?.[0]
  if (found) return found
  if (!names(pod).includes(name))
    throw new SlipwayError('bad-request', `container ${name} is not valid for pod ${pod.metadata.name}`)
  const { status } = pod as unknown as Pod
  const reason = [...(status?.containerStatuses ?? []), ...(status?.initContainerStatuses ?? [])].find(
    (s) => s.name === name,
  )?.state?.waiting?.reason
  throw new SlipwayError(
    'bad-request',
    reason === 'ErrImagePull' || reason === 'ImagePullBackOff'
      ? `container "${name}" in pod "${pod.metadata.name}" is waiting to start: trying and failing to pull image`
      : `container "${name}" in pod "${pod.metadata.name}" is waiting to start: ${reason ?? 'ContainerCreating'}`,
  )
}

/** The try that ended last: with the next one not running yet, that is the newest. */
const previousTry = (node: Node, pod: KubeObject, wanted: string | undefined): EngineContainer => {
  const name = wanted ?? names(pod)[0]!
  const [newest, before] = node.index.tries(pod.metadata.uid!).get(name) ?? []
  const { status } = pod as unknown as Pod
  const waits = [...(status?.containerStatuses ?? []), ...(status?.initContainerStatuses ?? [])].find(
    (s) => s.name === name,
  )?.state?.waiting
  const found = waits && hasEnded(newest) ? newest : before
  if (found) return found
  throw new SlipwayError(
    'bad-request',
    `previous terminated container "${name}" in pod "${pod.metadata.name}" not found`,
  )
}

const runningContainer = (node: Node, pod: KubeObject, wanted: string | undefined): EngineContainer => {
  const container = newestTry(node, pod, wanted)
  if (container.status !== 'running')
    throw new SlipwayError('not-found', `container not found ("${wanted ?? names(pod)[0]}")`)
  return container
}

/** The engine's one output stream, split; `finished` is asked once the output has ended. */
const session = (
  io: Io,
  want: Omit<PodExecOptions, 'command'>,
  finished: () => Promise<{ exitCode: number }>,
): ExecSession => {
  const stdout = want.stdout ? new PassThrough() : undefined
  const stderr = want.stderr && !want.tty ? new PassThrough() : undefined
  const pump = async (): Promise<{ exitCode: number }> => {
    try {
      for await (const { stream, data } of io.output) {
        const to = stream === 'stderr' && stderr ? stderr : stdout
        if (to && !to.write(data)) await new Promise((go) => to.once('drain', go).once('close', go))
      }
      return await finished()
    } finally {
      stdout?.end()
      stderr?.end()
    }
  }
  const exited = pump()
  exited.catch(() => {}) // whoever holds the session sees it
  return {
    stdin: io.stdin,
    stdout,
    stderr,
    resize: (size) => void io.resize(size).catch(() => {}),
    exited,
    close: () => {
      io.close()
      stdout?.destroy()
      stderr?.destroy()
    },
  }
}

async function* podLogs(node: Node, pod: Pod, options: PodLogOptions): AsyncGenerator<Buffer> {
  const find = options.previous ? previousTry : newestTry
  const container = find(node, pod as unknown as KubeObject, options.container)
  const since = options.sinceTime
    ? Date.parse(options.sinceTime)
    : options.sinceSeconds
      ? node.deps.clock.now() - options.sinceSeconds * 1000
      : undefined
  const wanted: LogOptions = {
    stdout: true,
    stderr: true,
    follow: options.follow,
    tail: options.tailLines,
    since,
    signal: options.signal,
  }
  let left = options.limitBytes ?? Number.POSITIVE_INFINITY
  let fresh = true
  for await (const lines of node.deps.engine.containers.logs(container.id, wanted)) {
    const parts: Buffer[] = []
    for (const line of lines) {
      if (options.timestamps && fresh) parts.push(Buffer.from(`${line.time} `))
      fresh = !line.partial
      parts.push(line.data)
    }
    const data = Buffer.concat(parts)
    yield data.length > left ? data.subarray(0, left) : data
    left -= data.length
    if (left <= 0) return
  }
}
