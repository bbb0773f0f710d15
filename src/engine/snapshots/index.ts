export type { UnpackResult } from './layers/protocol.ts'
export { createSnapshots, type LayerSource, type SnapshotStore, type UnpackOptions } from './snapshots.ts'
