export { createServiceProxy, type RunningServiceProxy, type ServiceProxyOptions } from './proxy.ts'
export { keyOf, type Target, targetsOf } from './plan.ts'
export { createSliceIndex, isOffered, type SliceIndex } from './slice-index.ts'
