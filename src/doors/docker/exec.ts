import type { Engine, Exec, Io } from '../../engine/types.ts'
import { messageOf, SlipwayError } from '../../errors.ts'
import { detachKeys } from './detach.ts'
import { frame, joinStreams, streamType, terminalSize } from './io.ts'
import { type Exchange, type Route, route } from './server.ts'
import { fit } from '../../lib/shape.ts'
import { execShape, execStartShape } from './shapes.ts'

interface ExecBody {
  AttachStdin?: boolean
  AttachStdout?: boolean
  AttachStderr?: boolean
  DetachKeys?: string
  Tty?: boolean
  Env?: string[] | null
  Cmd?: string[] | null
  Privileged?: boolean
  User?: string
  WorkingDir?: string
  ConsoleSize?: [number, number] | null
}

export const execRoutes = ({ containers }: Pick<Engine, 'containers'>): Route[] => {
  const must = (id: string): Exec => {
    const exec = containers.getExec(id)
    if (!exec) throw new SlipwayError('not-found', `No such exec instance: ${id}`)
    return exec
  }
  return [
    route('POST', '/containers/:id/exec', async (x) => {
      const body = await x.json<ExecBody>(execShape)
      if (!body.Cmd?.length) throw new SlipwayError('bad-request', 'No exec command specified')
      detachKeys(body.DetachKeys)
      const exec = await containers.createExec(x.params.id!, {
        args: body.Cmd,
        ...(body.Env ? { env: body.Env } : {}),
        ...(body.WorkingDir ? { workingDir: body.WorkingDir } : {}),
        ...(body.User ? { user: body.User } : {}),
        tty: body.Tty ?? false,
        stdin: body.AttachStdin ?? false,
        stdout: body.AttachStdout ?? false,
        stderr: body.AttachStderr ?? false,
        ...(body.Privileged ? { privileged: true } : {}),
        origin: body,
      })
      x.send(201, { Id: exec.id })
    }),
    route('POST', '/exec/:id/start', async (x) => {
      const body = fit<StartBody>(execStartShape, await x.upgradeBody())
      const exec = must(x.params.id!)
      if (body.Detach) {
        await containers.startExec(exec.id, { detach: true })
        return x.send(200)
      }
      // The one who starts it says how the output comes: framed unless it asks for a terminal's.
      const framed = !body.Tty
      const given = (exec.spec.origin ?? {}) as ExecBody
      containers.checkExec(exec.id)
      // The headers are out before the program runs: clients that read them through a buffer lose what comes with them.
      const socket = x.hijack(streamType(!framed, x.version))
      let io: Io
      try {
        io = await containers.startExec(exec.id, sizeOf(x, body, given))
      } catch (error) {
        const text = Buffer.from(`${messageOf(error)}\r\n`)
        socket.end(framed ? frame('stdout', text) : text)
        return
      }
      const { stdout, stderr } = exec.spec.tty ? { stdout: true, stderr: true } : exec.spec
      await joinStreams(socket, io, { stdout, stderr, framed, detachKeys: detachKeys(given.DetachKeys) })
    }),
    route('POST', '/exec/:id/resize', async (x) => {
      const size = terminalSize(x)
      must(x.params.id!)
      await containers.resizeExec(x.params.id!, size)
      x.send(200)
    }),
    route('GET', '/exec/:id/json', (x) => x.send(200, view(must(x.params.id!)))),
  ]
}

/** Since 1.42, and only with a terminal. The start's wins over the creation's. */
const sizeOf = (x: Exchange, start: StartBody, given: ExecBody): { size?: { width: number; height: number } } => {
  const size = (start.Tty && start.ConsoleSize) || given.ConsoleSize
  if (!size || x.version[1] < 42 || !given.Tty) return {}
  return { size: { height: size[0], width: size[1] } }
}

interface StartBody {
  Detach?: boolean
  Tty?: boolean
  ConsoleSize?: [number, number] | null
}

const view = (exec: Exec) => {
  const [entrypoint = '', ...args] = exec.spec.args
  return {
    ID: exec.id,
    Running: exec.running,
    ExitCode: exec.exitCode ?? null,
    ProcessConfig: {
      tty: exec.spec.tty,
      entrypoint,
      arguments: args,
      privileged: exec.spec.privileged ?? false,
      ...(exec.spec.user ? { user: exec.spec.user } : {}),
    },
    OpenStdin: exec.spec.stdin,
    OpenStderr: exec.spec.stderr,
    OpenStdout: exec.spec.stdout,
    CanRemove: exec.exitCode !== undefined,
    ContainerID: exec.containerId,
    DetachKeys: (exec.spec.origin as ExecBody | undefined)?.DetachKeys ?? '',
    Pid: exec.pid,
  }
}
