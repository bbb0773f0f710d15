export { createSnapshots, type LayerSource, type SnapshotStore, type UnpackOptions } from './snapshots.ts'
export type { UnpackLimits, UnpackResult } from './layers/protocol.ts'
