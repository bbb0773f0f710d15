import type { Engine, Exec, Io } from '../../engine/types.ts'
import { messageOf, SlipwayError } from '../../errors.ts'
import { frame, joinStreams, streamType } from './io.ts'
import { type Exchange, type Route, route } from './server.ts'

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
      const body = await x.json<ExecBody>()
      if (!body.Cmd?.length) throw new SlipwayError('bad-request', 'No exec command specified')
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
      const body = await readBody(x)
      const exec = must(x.params.id!)
      const size = sizeOf(exec, body, x.version)
      if (body.Detach) {
        await containers.startExec(exec.id, { detach: true })
        return x.send(200)
      }
      // The client that starts it says how it reads, whatever the one that made it asked for.
      const raw = body.Tty ?? false
      let io: Io
      try {
        io = await containers.startExec(exec.id, size === undefined ? {} : { size })
      } catch (error) {
        // What could not even be started has an exit code; docker tells the reason as if the program had.
        if (exec.exitCode !== undefined || containers.getExec(exec.id)?.exitCode === undefined) throw error
        const text = Buffer.from(`${messageOf(error)}\r\n`)
        x.hijack(streamType(raw, x.version)).end(raw ? text : frame('stdout', text))
        return
      }
      const socket = x.hijack(streamType(raw, x.version))
      await joinStreams(socket, { ...io, tty: raw }, exec.spec.tty ? { stdout: true, stderr: true } : exec.spec)
    }),
    route('POST', '/exec/:id/resize', async (x) => {
      must(x.params.id!)
      await containers.resizeExec(x.params.id!, { width: Number(x.query.get('w')), height: Number(x.query.get('h')) })
      x.send(200)
    }),
    route('GET', '/exec/:id/json', (x) => x.send(200, view(must(x.params.id!)))),
  ]
}

/** A terminal's first size: what start says, else what create said. Only since 1.42. */
const sizeOf = (
  exec: Exec,
  body: StartBody,
  version: readonly [number, number],
): { width: number; height: number } | undefined => {
  if (version[1] < 42 || !exec.spec.tty) return undefined
  const [height, width] =
    (body.Tty && body.ConsoleSize) || (exec.spec.origin as ExecBody | undefined)?.ConsoleSize || []
  return height && width ? { width, height } : undefined
}

interface StartBody {
  Detach?: boolean
  Tty?: boolean
  ConsoleSize?: [number, number] | null
}
/** The body ends by its length: what follows on an upgraded connection is already the program's input. */
const readBody = async (x: Exchange): Promise<StartBody> => {
  if (x.headers.upgrade === undefined) return x.json<StartBody>()
  return (await x.upgradeBody()) as StartBody
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
    DetachKeys: '',
    Pid: exec.pid,
  }
}
