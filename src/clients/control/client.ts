/** The command line's side of the control door. */

import type { BuildProgress, Description, ExportResponse, Question } from '../../build/types.ts'
import type { TransferProgress } from '../../engine/types.ts'
import { messageOf, SlipwayError } from '../../errors.ts'
import { linesOf } from '../../lib/lines.ts'
import { exchange } from './exchange.ts'
import type {
  BuildOrder,
  DaemonStatus,
  DescriptionAnswer,
  EnsureOrder,
  ImageAnswer,
  ImageBuildOrder,
  ManifestAnswer,
  ManifestOrder,
  PushOrder,
  StreamLine,
  WireError,
} from './protocol.ts'

export interface ControlClient {
  status(): Promise<DaemonStatus>
  stop(options: { containers?: boolean; again?: boolean }): Promise<void>
  build(order: BuildOrder, progress: (event: BuildProgress) => void, signal: AbortSignal): Promise<ImageAnswer>
  /** Builds and serves all outputs; what the exporters say, by BuildKit's names. */
  buildImage(
    order: ImageBuildOrder,
    progress: (event: BuildProgress) => void,
    signal: AbortSignal,
  ): Promise<ExportResponse>
  /** Builds nothing. */
  describeImage(order: ImageBuildOrder, what: Question, signal: AbortSignal): Promise<Description>
  ensureImage(order: EnsureOrder, progress: (step: TransferProgress) => void, signal: AbortSignal): Promise<ImageAnswer>
  push(order: PushOrder, progress: (step: TransferProgress) => void, signal: AbortSignal): Promise<{ digest: string }>
  /** What a registry has under a name; nothing is downloaded. */
  manifest(order: ManifestOrder, signal: AbortSignal): Promise<ManifestAnswer>
  tag(source: string, target: string): Promise<void>
}

const revive = (error: WireError): SlipwayError =>
  new SlipwayError(error.code, error.message, { hint: error.hint, at: error.at, details: error.details })

/** It was killed, say; what has begun may have been done. */
const wentAway = (cause?: unknown): SlipwayError =>
  new SlipwayError('unavailable', 'the slipway daemon went away in the middle of the request', {
    cause,
    hint: 'See its log: slipway daemon status',
  })

/** One request at a time over the socket. */
const channel = (socketPath: string) => {
  const open = async (question: Parameters<typeof exchange>[1]): Promise<AsyncIterable<Buffer>> => {
    try {
      return await exchange(socketPath, question)
    } catch (cause) {
      if (question.signal?.aborted) throw new SlipwayError('cancelled', 'canceled', { cause })
      throw new SlipwayError('unavailable', `cannot talk to the slipway daemon: ${messageOf(cause)}`, {
        cause,
        hint: 'Is it running? See: slipway daemon status',
      })
    }
  }
  const call = async (method: string, path: string, body?: unknown): Promise<unknown> => {
    const chunks: Buffer[] = []
    let answer: { error?: WireError }
    const res = await open({ method, path, body })
    try {
      for await (const chunk of res) chunks.push(chunk)
      answer = JSON.parse(Buffer.concat(chunks).toString()) as { error?: WireError }
    } catch (error) {
      throw wentAway(error)
    }
    if (answer.error) throw revive(answer.error)
    return answer
  }
  const follow = async (
    path: string,
    body: unknown,
    each: (line: StreamLine) => void,
    signal: AbortSignal,
  ): Promise<unknown> => {
    const res = await open({ method: 'POST', path, body, signal })
    for await (const text of whileThere(linesOf(res), signal)) {
      const line = lineOf(text)
      if ('result' in line) return line.result
      if ('error' in line) throw revive(line.error)
      each(line)
    }
    if (signal.aborted) throw new SlipwayError('cancelled', 'canceled')
    throw wentAway()
  }
  return { call, follow }
}

async function* whileThere(lines: AsyncIterable<string>, signal: AbortSignal): AsyncGenerator<string> {
  try {
    yield* lines
  } catch (cause) {
    throw signal.aborted ? new SlipwayError('cancelled', 'canceled', { cause }) : wentAway(cause)
  }
}

/** Half a line is the last that came. */
const lineOf = (text: string): StreamLine => {
  try {
    return JSON.parse(text) as StreamLine
  } catch (error) {
    throw wentAway(error)
  }
}

const decoded = (line: StreamLine): BuildProgress | undefined => {
  if (!('build' in line)) return undefined
  if (line.build.type !== 'log') return line.build
  const { type, id, stream, base64 } = line.build
  return { type, id, stream, data: Buffer.from(base64, 'base64') }
}

export const createControlClient = (socketPath: string): ControlClient => {
  const { call, follow } = channel(socketPath)
  const transfers = (progress: (step: TransferProgress) => void) => (line: StreamLine) =>
    'transfer' in line && progress(line.transfer)
  const builds = (progress: (event: BuildProgress) => void) => (line: StreamLine) => {
    const event = decoded(line)
    if (event) progress(event)
  }
  return {
    status: () => call('GET', '/v1/status') as Promise<DaemonStatus>,
    stop: async (options) => void (await call('POST', '/v1/stop', options)),
    tag: async (source, target) => void (await call('POST', '/v1/images/tag', { source, target })),
    build: (order, progress, signal) => follow('/v1/build', order, builds(progress), signal) as Promise<ImageAnswer>,
    buildImage: (order, progress, signal) =>
      follow('/v1/images/build', order, builds(progress), signal) as Promise<ExportResponse>,
    async describeImage(order, what, signal) {
      const { error, ...found } = (await follow(
        `/v1/images/describe/${what}`,
        order,
        () => {},
        signal,
      )) as DescriptionAnswer
      return { ...found, error: error && revive(error) }
    },
    manifest: (order, signal) => follow('/v1/images/manifest', order, () => {}, signal) as Promise<ManifestAnswer>,
    ensureImage: (order, progress, signal) =>
      follow('/v1/images/ensure', order, transfers(progress), signal) as Promise<ImageAnswer>,
    push: (order, progress, signal) =>
      follow('/v1/images/push', order, transfers(progress), signal) as Promise<{ digest: string }>,
  }
}
