export { createSnapshots, type SnapshotStore } from './snapshots.ts'
export type { UnpackLimits, UnpackResult } from './layers/protocol.ts'
