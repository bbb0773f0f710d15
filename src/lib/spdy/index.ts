export type { Headers as SpdyHeaders } from './frames.ts'
export { type SpdyOptions, SpdyReset, SpdySession, SpdyStream } from './session.ts'
