export { createSandboxes, type SandboxRoom } from './sandboxes.ts'
