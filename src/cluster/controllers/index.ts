export { storedKinds } from './lifecycle/resources.ts'
export type { ControllerOptions } from './options.ts'
export { createRecorder, type Recorder } from './run/recorder.ts'
export { startControllers } from './start.ts'
