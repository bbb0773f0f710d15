export { type ControlClient, createControlClient } from './client.ts'
export type * from './protocol.ts'
