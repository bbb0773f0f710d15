/** Compose: files to a project, a project to Kubernetes objects. */
import type { lower as lowerProject } from './lower/lower.ts'

export { renderManifests } from './convert/manifests.ts'
export { loadProject } from './load/load.ts'
export { hashedLabel } from './lower/context.ts'
export { labelValue } from './lower/names.ts'
export { renderConfig, serviceHash } from './report/config.ts'
export { refuseLosses, renderLosses, renderLossesJson } from './report/losses.ts'
export { listVariables } from './report/variables.ts'
export type * from './types.ts'

/** Loaded when it is used: most commands only read the files. */
export const lower = async (...args: Parameters<typeof lowerProject>): Promise<ReturnType<typeof lowerProject>> =>
  (await import('./lower/lower.ts')).lower(...args)
