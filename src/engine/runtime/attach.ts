import { Writable } from 'node:stream'
import { SlipwayError } from '../../errors.ts'
import type { PacketSocket, PacketSockets } from '../../sys/sys.ts'
import type { Io } from '../types.ts'
import { OutputBuffer } from './output.ts'

/** conmon's first byte of each packet. */
const streams: Record<number, 'stdout' | 'stderr'> = { 2: 'stdout', 3: 'stderr' }
const largestPacket = 32 * 1024

interface AttachOptions {
  stdin: boolean
  stdout: boolean
  stderr: boolean
}
interface HubOptions {
  tty: boolean
  /** The program's stdin ends with the client that has it. Otherwise it stays open for the next one. */
  stdinOnce: boolean
  resize: Io['resize']
  /**
   * The monitor closes its socket before it tells the exit code. With this the output ends only with `end`, so that who has
   * seen the end of it and asks for the exit code gets one.
   */
  endsWithCode?: boolean
}
interface Member {
  options: AttachOptions
  output: OutputBuffer
}

/**
 * All that are attached to one program share one connection to its monitor: with a connection each, the first to leave
 * would end the program's stdin for the others. Clients may come before the program is there; then nothing of its
 * output is missed.
 */
export class AttachHub {
  readonly #packets: PacketSockets
  readonly #options: HubOptions
  readonly #members = new Set<Member>()
  #socket: PacketSocket | undefined
  #connecting: Promise<PacketSocket> | undefined
  #ready = Promise.withResolvers<PacketSocket>()
  #stdinEnded = false
  #stdinUsed = false
  #over = false

  constructor(packets: PacketSockets, options: HubOptions) {
    this.#packets = packets
    this.#options = options
    this.#ready.promise.catch(() => {})
  }

  /** Is anybody waiting for the program, or listening to it? */
  get busy(): boolean {
    return this.#members.size > 0
  }

  attach(options: AttachOptions): Io {
    const output = new OutputBuffer({
      full: () => this.#socket?.pause(),
      drained: () => this.#resumeIfAll(),
      leave: () => this.#leave(member),
    })
    const member: Member = { options, output }
    this.#members.add(member)
    if (options.stdin) this.#stdinUsed = true
    return {
      tty: this.#options.tty,
      output,
      stdin: options.stdin ? this.#stdin() : undefined,
      resize: this.#options.resize,
      close: () => output.leave(),
    }
  }

  /** Joins the monitor's socket. Call before the program starts, or any time later. */
  async connect(path: string): Promise<void> {
    if (this.#socket) return
    this.#connecting ??= this.#packets.connect(path)
    try {
      const socket = await this.#connecting
      if (this.#socket === socket) return
      this.#socket = socket
      socket.onPacket((packet) => this.#receive(packet))
      socket.onClose(() => {
        if (this.#socket !== socket) return
        if (this.#options.endsWithCode && !this.#over) this.#forget()
        else this.#ended()
      })
      if ([...this.#members].some(({ output }) => output.full)) socket.pause()
      this.#ready.resolve(socket)
    } finally {
      this.#connecting = undefined
    }
  }

  /** The program has ended or never came: everybody's output ends. */
  end(): void {
    this.#over = true
    if (this.#socket) this.#socket.resume()
    else this.#ended()
  }

  /** Resolves when all that the program has said is read: its monitor hangs up last. */
  async heard(): Promise<void> {
    const socket = this.#socket
    if (socket) await new Promise<void>((resolve) => socket.onClose(resolve))
  }

  /** Lets go without ending the program. */
  close(): void {
    this.#socket?.close()
    this.#ended()
  }

  #forget(): void {
    this.#socket = undefined
    this.#ready.reject(new SlipwayError('unavailable', 'the program has ended'))
    this.#ready = Promise.withResolvers<PacketSocket>()
    this.#ready.promise.catch(() => {})
  }

  #ended(): void {
    this.#forget()
    this.#stdinEnded = false
    this.#stdinUsed = false
    for (const { output } of this.#members) output.end()
    this.#members.clear()
  }

  #receive(packet: Buffer): void {
    const stream = streams[packet[0]!]
    if (stream === undefined) return
    const data = packet.subarray(1)
    for (const { options, output } of this.#members) if (options[stream]) output.push({ stream, data })
  }

  #resumeIfAll(): void {
    if (![...this.#members].some(({ output }) => output.full)) this.#socket?.resume()
  }

  #leave(member: Member): void {
    if (!this.#members.delete(member)) return
    this.#resumeIfAll()
    if (member.options.stdin) this.#endStdin()
    // Closing the connection ends a stdin that belongs to one client: one that nobody has used yet must stay.
    const mayClose = !this.#options.stdinOnce || this.#stdinUsed
    if (this.#members.size === 0 && mayClose && this.#socket) {
      const socket = this.#socket
      this.#forget()
      socket.close()
    }
  }

  #endStdin(): void {
    if (this.#stdinEnded || !this.#options.stdinOnce) return
    this.#stdinEnded = true
    this.#ready.promise.then(
      (socket) => socket.end(),
      () => {},
    )
  }

  #stdin(): Writable {
    const send = async (chunk: Buffer): Promise<void> => {
      const socket = await this.#ready.promise
      for (let at = 0; at < chunk.length; at += largestPacket) await socket.send(chunk.subarray(at, at + largestPacket))
    }
    const stdin = new Writable({
      write: (chunk: Buffer, _encoding, done) => {
        send(chunk).then(() => done(), done)
      },
      final: (done) => {
        this.#endStdin()
        done()
      },
    })
    // The program may end before it has read everything: the client sees that by the end of the output.
    stdin.on('error', () => {})
    return stdin
  }
}
