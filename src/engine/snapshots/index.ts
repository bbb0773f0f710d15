export type { PackForm, UnpackResult } from './layers/protocol.ts'
export { derivedPrefix } from './records.ts'
export { createSnapshots, type LayerSource, type SnapshotStore, type UnpackOptions } from './snapshots.ts'
