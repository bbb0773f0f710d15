/** Keys of `build` that our builder has no use for. The rest is for the builder; nothing of it reaches a pod. */
import type { Service } from '../../spec/compose/project.ts'
import type { Lowering } from './context.ts'

const unused: [key: 'isolation', message: string][] = [['isolation', 'isolation is for Windows containers']]

export const reportBuild = (service: Service, lowering: Lowering): void => {
  const { build } = service
  if (!build) return
  for (const [key, message] of unused) {
    const value = build[key]
    if (value === undefined || (Array.isArray(value) && !value.length)) continue
    lowering.warn(service.name, `build.${key}`, message, 'Leave it out.')
  }
}
