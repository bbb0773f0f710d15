/** Attaching to a container's streams: over a taken-over connection, or a WebSocket. */
import type { Engine, Io } from '../../engine/types.ts'
import { SlipwayError } from '../../errors.ts'
import { detachKeys } from './detach.ts'
import { isTrue } from './filters.ts'
import { joinStreams, streamType } from './io.ts'
import { type Exchange, statusOf, textOf } from './server.ts'

type Backend = Pick<Engine, 'containers'>

const streamsOf = (x: Exchange) => ({
  stdin: isTrue(x.query.get('stdin')),
  stdout: isTrue(x.query.get('stdout')),
  stderr: isTrue(x.query.get('stderr')),
})

const open = async (
  { containers }: Backend,
  x: Exchange,
  want: ReturnType<typeof streamsOf>,
): Promise<{ io: Io; tty: boolean }> => {
  const container = containers.must(x.params.id!)
  if (container.status === 'paused')
    throw new SlipwayError('conflict', `container ${x.params.id} is paused, unpause the container before attach`)
  const io = await containers.attach(container.id, {
    ...want,
    logs: isTrue(x.query.get('logs')),
    stream: isTrue(x.query.get('stream')),
  })
  return { io, tty: container.spec.tty }
}

/**
 * Clients of the engine's first years, docker 20.10 among them, print what comes as if it were the program's: so a refusal
 * is plain text, of the streams' type, as dockerd's is (moby: postContainersAttach).
 */
export const attach = async (engine: Backend, x: Exchange): Promise<void> => {
  // dockerode repeats its options there; they are in the query, and none of the program's input.
  if (Number(x.headers['content-length'] ?? 0) > 0) await x.upgradeBody()
  let keys: ReturnType<typeof detachKeys>
  let opened: Awaited<ReturnType<typeof open>>
  try {
    keys = detachKeys(x.query.get('detachKeys'))
    opened = await open(engine, x, streamsOf(x))
  } catch (error) {
    if (statusOf(error) >= 500) throw error
    return x.send(statusOf(error), `${textOf(error)}\r\n`, { 'Content-Type': streamType(true, x.version) })
  }
  const { io, tty } = opened
  const socket = x.hijack(streamType(tty, x.version))
  const want = tty ? { stdout: true, stderr: true } : streamsOf(x)
  await joinStreams(socket, io, { ...want, framed: !tty, detachKeys: keys })
}

/** Its messages carry both streams unframed; text before 1.28. */
export const attachWebSocket = async (engine: Backend, x: Exchange): Promise<void> => {
  engine.containers.must(x.params.id!)
  // All three until 1.41, whatever was asked.
  const want = x.version[1] < 42 ? { stdin: true, stdout: true, stderr: true } : streamsOf(x)
  if (x.headers.upgrade === undefined) throw new SlipwayError('bad-request', 'not websocket protocol')
  const { io, tty } = await open(engine, x, want)
  const socket = await x.webSocket().catch((error: unknown) => {
    io.close()
    throw error
  })
  const { stdin } = io
  stdin?.on('error', () => {}) // the program may end first
  socket.on('error', () => socket.terminate())
  socket.on('message', (data: Buffer) => {
    if (!stdin || stdin.writableEnded || stdin.destroyed || stdin.write(data)) return
    socket.pause()
    stdin.once('drain', () => socket.resume())
  })
  socket.once('close', () => {
    stdin?.end()
    io.close()
  })
  const binary = x.version[1] >= 28
  for await (const { stream, data } of io.output) {
    if (socket.readyState !== socket.OPEN) break
    if (!tty && (stream === 'stdout' ? !want.stdout : !want.stderr)) continue
    await new Promise<void>((sent) => socket.send(data, { binary }, () => sent()))
  }
  socket.close()
}
