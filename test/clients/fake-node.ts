/** A node for tests of the doors: its "containers" are programs run on this machine. */
import { spawn } from 'node:child_process'
import { connect } from 'node:net'
import type { Duplex } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import type { NodeProxy } from '../../src/cluster/types.ts'
import { SlipwayError } from '../../src/errors.ts'
import type { ExecSession, PodExecOptions, PodLogOptions, PodUsage } from '../../src/spec/kube/client.ts'
import type { KubeObject } from '../../src/spec/kube/kinds.ts'

export interface FakeNode extends NodeProxy {
  /** Calls as they came, e.g. "exec web/app sh -c …". */
  calls: string[]
  sizes: { width: number; height: number }[]
  usage: PodUsage[]
}

const run = (node: FakeNode, command: string[], options: Omit<PodExecOptions, 'command'>): ExecSession => {
  const child = spawn(command[0]!, command.slice(1), { stdio: 'pipe', cwd: '/' })
  const exited = new Promise<{ exitCode: number }>((resolve, reject) => {
    child.once('error', (cause) =>
      reject(new SlipwayError('internal', `exec: "${command[0]}": executable file not found in $PATH`, { cause })),
    )
    child.once('exit', (code) => resolve({ exitCode: code ?? 137 }))
  })
  exited.catch(() => {})
  child.stdin.on('error', () => {})
  if (!options.stdin) child.stdin.end()
  return {
    stdin: options.stdin ? child.stdin : undefined,
    stdout: options.stdout ? child.stdout : undefined,
    stderr: options.stderr ? child.stderr : undefined,
    resize: (size) => node.sizes.push(size),
    exited,
    close: () => {
      node.calls.push('close')
      child.kill('SIGKILL')
    },
  }
}

async function* logLines(options: PodLogOptions): AsyncGenerator<Buffer> {
  const lines = Array.from({ length: 10 }, (_, i) => `line ${i + 1}\n`)
  if (options.container === 'silent')
    throw new SlipwayError('bad-request', 'container "silent" in pod is waiting to start: ContainerCreating')
  for (const line of options.tailLines === undefined ? lines : lines.slice(lines.length - options.tailLines))
    yield Buffer.from(line)
  for (let i = 0; options.follow && i < 3; i++) {
    await sleep(150, undefined, { signal: options.signal })
    yield Buffer.from(`tick ${i}\n`)
  }
}

export const createFakeNode = (): FakeNode => {
  const name = (pod: KubeObject): string => pod.metadata.name!
  const node: FakeNode = {
    calls: [],
    sizes: [],
    usage: [],
    logs(pod, options) {
      node.calls.push(`logs ${name(pod)}/${options.container}`)
      return logLines(options)
    },
    async exec(pod, options) {
      node.calls.push(`exec ${name(pod)}/${options.container} ${options.command.join(' ')}`)
      return run(node, options.command, options)
    },
    async attach(pod, options) {
      node.calls.push(`attach ${name(pod)}/${options.container}`)
      return run(node, ['cat'], options)
    },
    async portForward(pod, port): Promise<Duplex> {
      node.calls.push(`portForward ${name(pod)} ${port}`)
      const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true })
      await new Promise((resolve, reject) => {
        socket.once('connect', resolve)
        socket.once('error', reject)
      })
      return socket
    },
    podUsage: () => node.usage,
    nodeUsage: () => [
      { name: 'node', time: Date.now(), window: 15_000, cpuNanocores: 250_000_000, memoryBytes: 512 * 1024 * 1024 },
    ],
  }
  return node
}
