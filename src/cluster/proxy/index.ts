export { keyOf, type Target, targetsOf } from './plan.ts'
export { createServiceProxy } from './proxy.ts'
export { createSliceIndex, isOffered, type SliceIndex } from './slice-index.ts'
