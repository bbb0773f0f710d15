/** grpc.health.v1.Health/Check over cleartext HTTP/2, without a gRPC library: one request of two small messages. */
import { connect } from 'node:http2'
import type { ProbeOutcome } from './probe-handlers.ts'

const serving = 1

export const grpcHealth = (ip: string, port: number, service: string, timeoutMs: number): Promise<ProbeOutcome> =>
  new Promise((resolve) => {
    const session = connect(`http://${ip.includes(':') ? `[${ip}]` : ip}:${port}`)
    const done = (ok: boolean, output: string): void => {
      clearTimeout(timer)
      resolve({ ok, output })
      session.destroy()
    }
    const timer = setTimeout(
      () => done(false, `timeout: health rpc did not complete within ${timeoutMs / 1000}s`),
      timeoutMs,
    )
    let connected = false
    session.on('connect', () => {
      connected = true
    })
    const refused = (error: Error): void => {
      const cause = error.cause instanceof Error ? error.cause : error
      done(false, connected ? error.message : `failed to connect service "${ip}:${port}": ${cause.message}`)
    }
    session.on('error', refused)
    const stream = session.request({
      ':method': 'POST',
      ':path': '/grpc.health.v1.Health/Check',
      'content-type': 'application/grpc',
      te: 'trailers',
    })
    const chunks: Buffer[] = []
    stream.on('data', (chunk: Buffer) => chunks.push(chunk))
    stream.on('error', refused)
    let status = ''
    stream.on('trailers', (trailers) => {
      status = String(trailers['grpc-status'] ?? '')
    })
    stream.on('response', (headers) => {
      status = String(headers['grpc-status'] ?? status)
    })
    stream.on('end', () => {
      if (status !== '' && status !== '0') return done(false, `health rpc failed with grpc-status ${status}`)
      const answer = servingStatus(Buffer.concat(chunks))
      done(answer === serving, `service unhealthy (responded with status ${answer})`)
    })
    stream.end(frame(service))
  })

/** HealthCheckRequest{1: service} in a gRPC length-prefixed frame. Service names are short: one length byte is enough below 128. */
const frame = (service: string): Buffer => {
  const name = Buffer.from(service).subarray(0, 127)
  const message = name.length > 0 ? Buffer.concat([Buffer.from([0x0a, name.length]), name]) : Buffer.alloc(0)
  const head = Buffer.alloc(5)
  head.writeUInt32BE(message.length, 1)
  return Buffer.concat([head, message])
}

/** Field 1 (varint) of HealthCheckResponse; 0 (UNKNOWN) when absent. */
const servingStatus = (body: Buffer): number => (body.length >= 7 && body[5] === 0x08 ? body[6]! : 0)
