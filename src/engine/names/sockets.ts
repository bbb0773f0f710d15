import { createSocket, type Socket as UdpSocket } from 'node:dgram'
import { createServer, type Server } from 'node:net'
import { SlipwayError } from '../../errors.ts'
import type { Namespaces } from '../../sys/sys.ts'

interface TcpBinding {
  TCP: new (kind: number) => { bind(address: string, port: number): number }
  constants: { SERVER: number }
}

/**
 * A UDP and a TCP socket bound in another network namespace. A socket belongs to the namespace its thread was in when it was
 * made, so all of this happens in one synchronous go: an address needs no lookup in dgram when `lookup` answers at once, and
 * net's own listen() would look it up asynchronously, so its handle is bound here.
 */
export const bindWithin = (
  namespaces: Namespaces,
  netns: string,
  address: string,
  port: number,
): { udp: UdpSocket; tcp: Server } =>
  namespaces.within(netns, () => {
    const binding = (process as unknown as { binding(name: string): TcpBinding }).binding('tcp_wrap')
    const handle = new binding.TCP(binding.constants.SERVER)
    const failed = handle.bind(address, port)
    if (failed !== 0) throw new SlipwayError('conflict', `bind ${address}:${port} in ${netns}: errno ${-failed}`)
    const udp = createSocket({ type: 'udp4', lookup: (host, _options, callback) => callback(null, host, 4) })
    let error: Error | undefined
    udp.once('error', (cause) => (error = cause))
    udp.bind({ address, port, exclusive: true })
    try {
      udp.address()
    } catch {
      throw new SlipwayError('conflict', `bind ${address}:${port} in ${netns}`, { cause: error })
    }
    const tcp = createServer().listen(handle)
    tcp.on('error', () => {})
    udp.unref()
    tcp.unref()
    return { udp, tcp }
  })
