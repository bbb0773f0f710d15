export type { Headers as SpdyHeaders } from './frames.ts'
export { type SpdyOptions, SpdySession, SpdyStream } from './session.ts'
