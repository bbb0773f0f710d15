/** `slipway build PATH`, `slipway image build`: an image of a Dockerfile. */
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import type { Readable, Writable } from 'node:stream'
import { createReadStream, createWriteStream, mkdtempSync, rmSync, writeFileSync } from '../../../lib/fs.ts'
import type { BuildProgress, ExportResponse } from '../../../build/types.ts'
import { type ControlClient, createControlClient, type ImageBuildOrder } from '../../../clients/control/index.ts'
import { placeOf, socketsOf } from '../../../instance.ts'
import { isError } from '../../../errors.ts'
import { out, type Shell } from '../framework/command.ts'
import { withDaemon } from '../framework/daemon.ts'
import { Exit } from '../framework/failure.ts'
import type { Flags } from '../framework/flags.ts'
import type { Call } from '../framework/subcommands.ts'
import { createDisplay, displayKind } from './display.ts'
import { buildOrderOf, type StandardInput } from './order.ts'
import type { Asked } from './question.ts'

// Modules that only some builds need are loaded by those: starting up is most of what an unchanged build takes.
const isArchive = async (head: Buffer): Promise<boolean> => {
  const { compressionOf } = await import('../../../lib/tar/index.ts')
  return compressionOf(head) !== 'none' || head.subarray(257, 262).toString() === 'ustar'
}
const copy = async (from: Readable, to: Writable, options: { end?: boolean } = {}): Promise<void> => {
  const { pipeline } = await import('node:stream/promises')
  await pipeline(from, to, options)
}
const readAll = async (from: Readable): Promise<string> => {
  const { decodeName } = await import('../../../lib/tar/index.ts')
  return decodeName(await (await import('node:stream/consumers')).buffer(from))
}

/** Standard input is an archive or a Dockerfile; -f - is a Dockerfile for sure. */
const readInput = async (
  shell: Shell,
  flags: Flags,
  given: string,
  directory: () => string,
): Promise<StandardInput> => {
  if (flags.file === '-') {
    if (given === '-')
      throw new Exit(1, "ERROR: invalid argument: can't use stdin for both build context and dockerfile")
    return { dockerfile: await readAll(shell.stdin) }
  }
  if (given !== '-') return {}
  const file = join(directory(), 'context')
  await copy(shell.stdin, createWriteStream(file))
  const head = Buffer.concat(await createReadStream(file, { end: 511 }).toArray())
  return (await isArchive(head)) ? { archive: file } : { dockerfile: await readAll(createReadStream(file)) }
}

const ask = async (
  control: ControlClient,
  shell: Shell,
  order: ImageBuildOrder,
  { what, json, ignoresStatus }: Asked,
): Promise<number> => {
  const found = await withDaemon(shell, () => control.describeImage(order, what, shell.signal))
  const { answerOf } = await import('../../../build/progress/index.ts')
  const answer = answerOf(found, what, order.target)
  if (json) out(shell, JSON.stringify(answer.json, undefined, 2))
  else {
    if (what === 'check') out(shell, summary(found.warnings.length, found.error !== undefined))
    shell.stdout.write(answer.text)
  }
  return answer.failed && !ignoresStatus ? 1 : 0
}

const summary = (warnings: number, failed: boolean): string => {
  if (warnings === 0) return failed ? 'Check complete, with an error.' : 'Check complete, no warnings found.'
  return `Check complete, ${warnings} ${warnings === 1 ? 'warning has' : 'warnings have'} been found!`
}

const idOf = (response: ExportResponse): string =>
  response['containerimage.config.digest'] ?? response['containerimage.digest'] ?? ''

const metadataOf = (response: ExportResponse): object =>
  Object.fromEntries(
    Object.entries(response).map(([key, value]) => [
      key,
      key === 'containerimage.descriptor' ? JSON.parse(Buffer.from(value, 'base64').toString()) : value,
    ]),
  )

const writeResults = ({ flags, shell }: Call, response: ExportResponse): void => {
  const file = (name: string): string | undefined =>
    flags[name] ? resolve(shell.cwd, flags[name] as string) : undefined
  const [id, metadata] = [file('iidfile'), file('metadata-file')]
  if (id !== undefined) writeFileSync(id, idOf(response))
  if (metadata !== undefined) writeFileSync(metadata, `${JSON.stringify(metadataOf(response), undefined, 2)}\n`)
  if (flags.quiet === true) out(shell, idOf(response))
}

const progressOf = ({ flags, shell }: Call): string => {
  if (flags.quiet === true) return 'quiet'
  return (flags.progress as string | undefined) ?? (shell.env.BUILDKIT_PROGRESS || 'auto')
}

export const runBuild = async (call: Call): Promise<number> => {
  const { shell, args, flags } = call
  const asks = flags.call !== undefined || flags.check !== undefined
  const question = asks ? (await import('./question.ts')).questionOf(flags) : undefined
  if (flags['no-cache'] === true && flags['no-cache-filter'] !== undefined)
    throw new Exit(1, 'ERROR: --no-cache and --no-cache-filter cannot currently be used together')
  let directory: string | undefined
  const ours = (): string => (directory ??= mkdtempSync(join(tmpdir(), 'slipway-build-')))
  let printed: string | undefined
  const toStdout = (): string => {
    if (shell.stdout.isTTY)
      throw new Exit(1, 'ERROR: dest file is required for output when standard output is a terminal')
    return (printed = join(ours(), 'output'))
  }
  try {
    const input = await readInput(shell, flags, args[0]!, ours)
    const order = await buildOrderOf(flags, args, shell, input, toStdout)
    const control = createControlClient(socketsOf(placeOf(shell.env)).control)
    if (question) return await ask(control, shell, order, question)
    await build(call, control, order)
    if (printed !== undefined) await copy(createReadStream(printed), shell.stdout, { end: false })
    return 0
  } finally {
    if (directory !== undefined) rmSync(directory, { recursive: true, force: true })
  }
}

const build = async (call: Call, control: ControlClient, order: ImageBuildOrder): Promise<void> => {
  const { shell } = call
  const kind = displayKind(shell, progressOf(call))
  let show = (event: BuildProgress): void => void early.push(event)
  const early: BuildProgress[] = []
  const built = withDaemon(shell, () => control.buildImage(order, (event) => show(event), shell.signal))
  built.catch(() => {}) // seen below
  // The daemon has the order; what shows its progress is loaded while it works.
  await new Promise((sent) => setImmediate(sent))
  const display = await createDisplay(shell, kind)
  for (const event of early) display.event(event)
  show = (event) => display.event(event)
  let response: ExportResponse
  try {
    response = await built
  } catch (error) {
    if (!isError(error)) throw error
    display.end(error)
    throw new Exit(shell.signal.aborted ? 130 : 1)
  }
  display.end()
  writeResults(call, response)
}
