/** gRPC statuses: https://grpc.github.io/grpc/core/md_doc_statuscodes.html, and how an error travels in trailers. */
import { type ErrorCode, isError, messageOf, SlipwayError } from '../../../errors.ts'
import { textOf } from '../server.ts'
import { Status } from './messages.ts'

const numbers: Record<ErrorCode, number> = {
  cancelled: 1,
  invalid: 2,
  internal: 2,
  'bad-request': 3,
  timeout: 4,
  'not-found': 5,
  'already-exists': 6,
  forbidden: 7,
  'no-space': 8,
  'too-many-requests': 8,
  precondition: 9,
  conflict: 9,
  expired: 9,
  unsupported: 12,
  unavailable: 14,
  unauthorized: 16,
}
const codes: Record<number, ErrorCode> = {
  1: 'cancelled',
  3: 'bad-request',
  4: 'timeout',
  5: 'not-found',
  6: 'already-exists',
  7: 'forbidden',
  8: 'no-space',
  9: 'precondition',
  12: 'unsupported',
  14: 'unavailable',
  16: 'unauthorized',
}

/** google.rpc.Status; details are (type, JSON) pairs. */
export interface RpcStatus {
  code: number
  message: string
  details: { typeUrl?: string; value?: Uint8Array }[]
}

/** An error whose status goes out as it came in. */
export class StatusError extends SlipwayError {
  readonly status: RpcStatus
  constructor(status: RpcStatus) {
    super(codes[status.code] ?? 'internal', status.message)
    this.status = status
  }
}

/**
 * BuildKit's clients print the lines of the Dockerfile from a detail of type errdefs.Source, which is JSON (the `+json` of its
 * name): SourceInfo with the whole file in base64, and the ranges to mark.
 */
export const statusOf = (error: unknown, sources: ReadonlyMap<string, Uint8Array> = new Map()): RpcStatus => {
  if (error instanceof StatusError) return error.status
  const details: RpcStatus['details'] = []
  if (isError(error) && error.at?.line !== undefined) {
    const data = sources.get(error.at.file)
    if (data) details.push(sourceDetail(error.at.file, data, error.at.line, lastLineOf(error)))
  }
  return { code: isError(error) ? numbers[error.code] : 2, message: textOf(error) || messageOf(error), details }
}

/** Which step it was, as errdefs.Vertex. */
export const withVertex = (status: RpcStatus, digest: string): RpcStatus => ({
  ...status,
  details: [
    ...status.details,
    { typeUrl: 'github.com/moby/buildkit/errdefs.Vertex+json', value: Buffer.from(JSON.stringify({ digest })) },
  ],
})

const lastLineOf = (error: SlipwayError): number =>
  (error.details as { endLine?: number } | undefined)?.endLine ?? error.at!.line!

const sourceDetail = (filename: string, data: Uint8Array, start: number, end: number) => ({
  typeUrl: 'github.com/moby/buildkit/errdefs.Source+json',
  value: Buffer.from(
    JSON.stringify({
      info: { filename, data: Buffer.from(data).toString('base64'), language: 'Dockerfile' },
      ranges: [{ start: { line: start }, end: { line: end } }],
    }),
  ),
})

/** `grpc-message` is percent-encoded; HTTP/2 takes no value that begins or ends with a blank. */
const percent = (text: string): string =>
  [...Buffer.from(text)]
    .map((b) => (b >= 0x20 && b <= 0x7e && b !== 0x25 ? String.fromCharCode(b) : `%${b.toString(16).padStart(2, '0')}`))
    .join('')
    .replace(/^ +| +$/g, (blanks) => '%20'.repeat(blanks.length))

export const trailersOf = (status: RpcStatus): Record<string, string> => ({
  'grpc-status': String(status.code),
  // Long trailers would be refused; the whole text is in the details.
  ...(status.message ? { 'grpc-message': percent(status.message.slice(0, 2048)) } : {}),
  ...(status.details.length > 0
    ? { 'grpc-status-details-bin': Status.encode(status).toString('base64').replace(/=+$/, '') }
    : {}),
})

export const statusFrom = (trailers: Record<string, unknown>): RpcStatus | undefined => {
  if (trailers['grpc-status'] === undefined) return undefined
  const bin = trailers['grpc-status-details-bin']
  const details = typeof bin === 'string' ? (Status.decode(Buffer.from(bin, 'base64')).details ?? []) : []
  const message = String(trailers['grpc-message'] ?? '')
  return { code: Number(trailers['grpc-status']), message: unpercent(message), details }
}

const unpercent = (text: string): string => {
  try {
    return decodeURIComponent(text)
  } catch {
    return text // not ours to refuse
  }
}
