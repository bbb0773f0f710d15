/** Connections to a port on a pod's own loopback, where also those programs listen that nobody else is to reach. */
import { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { messageOf, SlipwayError } from '../../errors.ts'
import type { Pod } from '../../spec/kube/generated/types.ts'
import type { KubeObject } from '../../spec/kube/kinds.ts'
import type { Node } from './kubelet.ts'

interface TcpBinding {
  TCP: new (kind: number) => { bind(address: string, port: number): number }
  constants: { SOCKET: number }
}

export const forward = async (node: Node, pod: KubeObject, port: number): Promise<Duplex> => {
  const { engine, sys } = node.deps
  const sandbox = engine.sandboxes.get(pod.metadata.uid!)
  const netns = sandbox?.namespaces.net
  const host = (pod as unknown as Pod).spec?.hostNetwork === true
  if (sandbox?.state !== 'ready' || (!netns && !host))
    throw new SlipwayError(
      'bad-request',
      `unable to forward port because pod is not running. Current status=${(pod as unknown as Pod).status?.phase}`,
    )
  const unbound = (): Socket => new Socket({ allowHalfOpen: true })
  const socket = netns && !host ? sys.namespaces.within(netns, boundSocket) : unbound()
  return connected(socket, port)
}

/** A socket belongs to the namespace its thread was in when the kernel made it: at the bind, which is synchronous. */
const boundSocket = (): Socket => {
  const binding = (process as unknown as { binding(name: string): TcpBinding }).binding('tcp_wrap')
  const handle = new binding.TCP(binding.constants.SOCKET)
  const failed = handle.bind('127.0.0.1', 0)
  if (failed !== 0) throw new SlipwayError('internal', `binding a socket in the pod failed: errno ${-failed}`)
  // manualStart: what is not connected yet cannot be read from.
  return new Socket({ handle, allowHalfOpen: true, manualStart: true } as object)
}

const connected = (socket: Socket, port: number): Promise<Duplex> =>
  new Promise((resolve, reject) => {
    socket.once('connect', () => resolve(socket))
    socket.once('error', (error) =>
      reject(
        new SlipwayError('unavailable', `failed to connect to localhost:${port} inside the pod: ${messageOf(error)}`, {
          cause: error,
        }),
      ),
    )
    socket.connect({ host: '127.0.0.1', port })
  })
