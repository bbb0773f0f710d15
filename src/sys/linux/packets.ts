import { closeSync } from 'node:fs'
import { Socket } from 'node:net'
import { SlipwayError } from '../../errors.ts'
import type { PacketSocket, PacketSockets } from '../sys.ts'
import { withAddress } from './bound-socket.ts'
import * as libc from './libc.ts'

const largestPacket = 32 * 1024

interface PipeHandle {
  open(fd: number): number
}
interface PipeBinding {
  Pipe: new (kind: number) => PipeHandle
  constants: { SOCKET: number }
}

/** Node has no public way to adopt a seqpacket descriptor: `net.Socket({ fd })` insists on knowing its type. */
const adopt = (fd: number): Socket => {
  const { Pipe, constants } = (process as unknown as { binding(name: string): PipeBinding }).binding('pipe_wrap')
  const handle = new Pipe(constants.SOCKET)
  handle.open(fd)
  return new Socket({ handle, readable: true, writable: true, allowHalfOpen: true } as never)
}

const wrap = (socket: Socket): PacketSocket => {
  let last: Promise<void> = Promise.resolve()
  // Close follows; who sends learns of it through the write's own error.
  socket.on('error', () => {})
  // Without this an end from the other side would leave the descriptor open: allowHalfOpen.
  socket.on('end', () => socket.end())
  const write = (packet: Uint8Array): Promise<void> =>
    new Promise((resolve, reject) => {
      socket.write(packet, (error) =>
        error ? reject(new SlipwayError('unavailable', 'the container is not attached', { cause: error })) : resolve(),
      )
    })
  return {
    onPacket: (receive) => void socket.on('data', receive),
    onClose: (done) => void socket.on('close', () => done()),
    send(packet) {
      if (packet.length > largestPacket) return Promise.reject(new SlipwayError('internal', 'packet too large'))
      // One at a time: the stream would join waiting chunks into one packet.
      const mine = last.then(() => write(packet))
      last = mine.catch(() => {})
      return mine
    },
    end: () => void last.then(() => socket.end()),
    pause: () => void socket.pause(),
    resume: () => void socket.resume(),
    close: () => void socket.destroy(),
  }
}

export const packets: PacketSockets = {
  async connect(path) {
    const fd = libc.socket(1, 5 | 0x80000 | 0x800) // AF_UNIX; SOCK_SEQPACKET, close-on-exec, non-blocking
    try {
      withAddress(path, (at) => libc.connect(fd, at, path))
    } catch (error) {
      closeSync(fd)
      throw error
    }
    return wrap(adopt(fd))
  },
}
