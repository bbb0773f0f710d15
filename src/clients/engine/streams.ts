/** A container's streams: the connection that is taken over, and the frames on it. */
import type { Duplex, Readable, Writable } from 'node:stream'
import { SlipwayError } from '../../errors.ts'
import { type IncomingMessage, requestOnSocket } from '../../lib/http/node.ts'

/** `raw`: a terminal's bytes, without frames. */
export interface TakenOver {
  socket: Duplex
  raw: boolean
}

/** POST with an upgrade. A refusal comes as the answer instead, for `refuse` to read. */
export const takeOver = (
  socketPath: string,
  path: string,
  body: object | undefined,
  refuse: (answer: IncomingMessage) => Promise<Error>,
): Promise<TakenOver> =>
  new Promise((resolve, reject) => {
    const text = body === undefined ? '' : JSON.stringify(body)
    const headers = {
      Connection: 'Upgrade',
      Upgrade: 'tcp',
      'Content-Type': 'application/json',
      'Content-Length': Buffer.byteLength(text),
    }
    const req = requestOnSocket({ socketPath, path, method: 'POST', headers })
    req.once('upgrade', (answer, socket, head) => {
      if (head.length > 0) socket.unshift(head)
      resolve({ socket, raw: answer.headers['content-type'] === 'application/vnd.docker.raw-stream' })
    })
    req.once('response', (answer) => refuse(answer).then(reject, reject))
    req.once('error', (cause) =>
      reject(new SlipwayError('unavailable', `cannot talk to the slipway daemon: ${cause.message}`, { cause })),
    )
    req.end(text)
  })

const write = async (to: Writable | undefined, data: Buffer): Promise<void> => {
  if (to && !to.write(data)) await new Promise((go) => to.once('drain', go).once('close', go))
}

/**
 * Frames of 8 bytes and a payload, to the two streams they are for; undefined: nobody wants that one. Resolves at the end; a
 * slow reader holds it back.
 */
export const demultiplex = async (
  from: Readable,
  stdout: Writable | undefined,
  stderr: Writable | undefined,
  options: { raw: boolean },
): Promise<void> => {
  let rest: Buffer = Buffer.alloc(0)
  for await (const chunk of from) {
    if (options.raw) {
      await write(stdout, chunk as Buffer)
      continue
    }
    rest = rest.length > 0 ? Buffer.concat([rest, chunk as Buffer]) : (chunk as Buffer)
    while (rest.length >= 8) {
      const length = rest.readUInt32BE(4)
      if (rest.length < 8 + length) break
      await write(rest[0] === 2 ? stderr : stdout, rest.subarray(8, 8 + length))
      rest = rest.subarray(8 + length)
    }
  }
}
