/** Compose: files to a project, a project to Kubernetes objects. */
export { loadProject } from './load/load.ts'
export { lower } from './lower/lower.ts'
export type * from './types.ts'
