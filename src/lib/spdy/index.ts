export { SpdyReset, SpdySession, SpdyStream } from './session.ts'
