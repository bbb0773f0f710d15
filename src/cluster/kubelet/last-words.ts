/** What a container leaves behind for `kubectl describe`: its termination message file, or the end of its log. */
import { mkdir, open, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Containers, Container as EngineContainer, MountSpec } from '../../engine/index.ts'
import type { Container } from '../../spec/kube/generated/types.ts'
import { attemptOf } from './tries.ts'

/** Kubernetes' limits: bytes of the file, lines and bytes of the log. */
const fileLimit = 4096
const logLines = 80
const logLimit = 2048
const defaultPath = '/dev/termination-log'

const fileOf = (podDir: string, name: string, attempt: number): string =>
  join(podDir, 'containers', name, `${attempt}.termination`)

/** The empty file a container writes its message to, as a mount at the place it expects. */
export const messageMount = async (podDir: string, container: Container, attempt: number): Promise<MountSpec> => {
  const source = fileOf(podDir, container.name, attempt)
  await mkdir(join(podDir, 'containers', container.name), { recursive: true, mode: 0o755 })
  await rm(fileOf(podDir, container.name, attempt - 2), { force: true })
  await writeFile(source, '', { mode: 0o666 })
  const file = await open(source)
  await file.chmod(0o666).finally(() => file.close()) // whatever the umask: any user of the container may write
  return {
    type: 'bind',
    source,
    target: container.terminationMessagePath || defaultPath,
    readOnly: false,
    recursive: false,
  }
}

/** Empty when it has said nothing. */
export const lastWords = async (
  podDir: string,
  container: Container,
  ended: EngineContainer,
  containers: Pick<Containers, 'logs'>,
): Promise<string> => {
  const message = await head(fileOf(podDir, container.name, attemptOf(ended)))
  if (message || container.terminationMessagePolicy !== 'FallbackToLogsOnError' || ended.exitCode === 0) return message
  const chunks: Buffer[] = []
  for await (const lines of containers.logs(ended.id, { stdout: true, stderr: true, tail: logLines }))
    chunks.push(...lines.map(({ data }) => data))
  return Buffer.concat(chunks).subarray(-logLimit).toString('utf8')
}

const head = async (path: string): Promise<string> => {
  const file = await open(path).catch(() => undefined)
  if (!file) return ''
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(fileLimit), 0, fileLimit, 0)
    return buffer.subarray(0, bytesRead).toString('utf8')
  } finally {
    await file.close()
  }
}
