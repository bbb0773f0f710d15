export { storedKinds } from './lifecycle/resources.ts'
export type { ControllerOptions, VolumeDirectories } from './options.ts'
export { createRecorder, type EventDetails, type Recorder } from './run/recorder.ts'
export { type ControllerSetup, startControllers } from './start.ts'
