import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Duplex } from 'node:stream'
import { SlipwayError } from '../../errors.ts'
import type { Processes } from '../../sys/sys.ts'

/** Where monitors and the runtime keep their files; all of it below the instance's run directory. */
export interface RuntimePaths {
  /** The runtime's --root. */
  oci: string
  /** conmon writes EXITS/ID with the exit code. */
  exits: string
  /** conmon writes PERSIST/ID/{exit,oom}. */
  persist: string
}

interface MonitorOptions {
  id: string
  bundle: string
  /** undefined: what the program writes is not kept. */
  log: string | undefined
  tty: boolean
  stdin: boolean
  /** stdin survives the client that leaves. */
  leaveStdinOpen: boolean
  /** Runs in this container instead of making one. */
  exec?: { containerId: string; processFile: string } | undefined
}
interface Monitored {
  pid: number
  monitorPid: number
  /** Of an exec: its exit code, undefined if the monitor was lost. A container's is in its exit file. */
  exitCode: Promise<number | undefined>
}

const monitorArgv = (runtimePath: string, paths: RuntimePaths, options: MonitorOptions): string[] => {
  const { id, bundle, exec } = options
  // Exit files are named after the container: the monitor of an exec must not write where its container's does.
  const [exits, persist] = exec ? [bundle, bundle] : [paths.exits, join(paths.persist, id)]
  return [
    ...[
      'conmon',
      '--api-version',
      '1',
      '-c',
      exec?.containerId ?? id,
      '-u',
      id,
      '-n',
      id,
      '-r',
      runtimePath,
      '-b',
      bundle,
    ],
    ...['-p', join(bundle, 'pidfile'), '-P', join(bundle, 'conmon.pid')],
    ...['--exit-dir', exits, '--persist-dir', persist, '--full-attach', '--no-sync-log'],
    ...['-l', options.log === undefined ? 'none' : `k8s-file:${options.log}`],
    ...(options.tty ? ['-t'] : []),
    ...(options.stdin ? ['-i'] : []),
    ...(options.stdin && options.leaveStdinOpen ? ['--leave-stdin-open'] : []),
    ...(exec ? ['-e', '--exec-attach', '--exec-process-spec', exec.processFile] : []),
    `--runtime-arg=--root=${paths.oci}`,
  ]
}

/** conmon's answers are lines of JSON: {"data": N, "message": "…"}; a negative N is a failure. */
interface Answer {
  data: number
  message?: string
}
async function* answers(pipe: Duplex): AsyncGenerator<Answer> {
  let text = ''
  for await (const chunk of pipe) {
    text += String(chunk)
    for (let end = text.indexOf('\n'); end >= 0; end = text.indexOf('\n')) {
      yield JSON.parse(text.slice(0, end)) as Answer
      text = text.slice(end + 1)
    }
  }
}

const lastWord = async (said: AsyncGenerator<Answer>): Promise<number | undefined> => {
  try {
    const { value } = (await said.next()) as { value: Answer | undefined }
    return value?.data
  } catch {
    return undefined // the pipe broke with the monitor
  }
}

/** A runtime's message, out of the "time=… level=error msg=…" or JSON lines it may come in. */
export const runtimeMessage = (raw: string): string => {
  const last = raw.trim().split('\n').at(-1) ?? ''
  const quoted = /msg="((?:[^"\\]|\\.)*)"/.exec(last)?.[1]
  return (quoted === undefined ? last : quoted.replace(/\\(.)/g, '$1')).replace(/^\d{4}-\d\d-\d\dT\S+Z: /, '')
}

/**
 * Starts a monitor that creates a container (or runs an exec). For a container the program waits for the runtime's
 * `start`; an exec is under way when this resolves, `attach` having been called before it began.
 */
export const startMonitor = async (
  processes: Processes,
  paths: RuntimePaths,
  options: MonitorOptions,
  attach?: () => Promise<void>,
): Promise<Monitored> => {
  const runtime = await processes.ociRuntime()
  const exec = options.exec !== undefined
  const child = processes.spawn([...runtime.enter, ...monitorArgv(runtime.path, paths, options)], {
    env: {
      ...runtime.env,
      _OCI_SYNCPIPE: '3',
      _OCI_STARTPIPE: '4',
      ...(exec ? { _OCI_ATTACHPIPE: '5' } : {}),
    },
    fds: ['ignore', 'ignore', 'pipe', 'pipe', 'pipe', ...(exec ? (['pipe'] as const) : [])],
    detached: true,
  })
  const sync = child.pipes.get(3)!
  const start = child.pipes.get(4)!
  const attached = child.pipes.get(5)
  let stderr = ''
  child.stderr?.on('data', (chunk) => {
    stderr = (stderr + String(chunk)).slice(-16384)
  })
  for (const pipe of [start, attached, child.stderr]) pipe?.on('error', () => {})
  start.write('\0')
  const close = (): void => [sync, start, attached, child.stderr].forEach((pipe) => void pipe?.destroy())
  const said = answers(sync)
  try {
    if (attached) {
      // The first answer says that the attach socket is there; the second byte lets the program begin.
      for await (const { data } of answers(attached)) if (data >= 0) break
      await attach?.()
      start.write('\0')
    }
    const { value } = (await said.next()) as { value: Answer | undefined }
    if (value === undefined) {
      // conmon itself may be missing: then this throws what spawn found.
      await child.exited
      throw new SlipwayError('internal', `the monitor ended at once: ${runtimeMessage(stderr) || 'no message'}`)
    }
    const { data, message } = value
    if (data < 0) throw new SlipwayError('internal', runtimeMessage(message ?? stderr), { details: { code: data } })
    // The monitor of an exec says the exit code here as well, and gives up if nobody hears it.
    const exitCode = exec ? lastWord(said).finally(close) : Promise.resolve(undefined)
    if (!exec) close()
    // conmon forks: the one we started writes the file and ends, and the other may be first to answer.
    await child.exited
    return { pid: data, monitorPid: Number(readFileSync(join(options.bundle, 'conmon.pid'), 'utf8')), exitCode }
  } catch (error) {
    close()
    throw error
  }
}
