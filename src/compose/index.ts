/** Compose: files to a project, a project to Kubernetes objects. What few commands need is loaded by those. */
import type { renderManifests as toManifests } from './convert/manifests.ts'
import type { lower as lowerProject } from './lower/lower.ts'
import type { renderConfig as toConfig, serviceHash as hashOf } from './report/config.ts'
import type { listVariables as variablesOf } from './report/variables.ts'

export { loadProject } from './load/load.ts'
export { hashedLabel, labelValue } from './lower/names.ts'
export { refuseLosses, renderLosses, renderLossesJson } from './report/losses.ts'
export type * from './types.ts'

export const lower = async (...args: Parameters<typeof lowerProject>): Promise<ReturnType<typeof lowerProject>> =>
  (await import('./lower/lower.ts')).lower(...args)

export const renderManifests: typeof toManifests = async (...args) =>
  (await import('./convert/manifests.ts')).renderManifests(...args)

export const renderConfig: typeof toConfig = async (...args) =>
  (await import('./report/config.ts')).renderConfig(...args)

export const serviceHash = async (...args: Parameters<typeof hashOf>): Promise<string> =>
  (await import('./report/config.ts')).serviceHash(...args)

export const listVariables: typeof variablesOf = async (...args) =>
  (await import('./report/variables.ts')).listVariables(...args)
