/** Which services take part. */
import type { Project, Service } from '../../spec/compose/project.ts'

/** Naming a service on the command line activates its profiles, but not those of its dependencies. */
export const activeProfiles = (asked: string[], targets: string[], services: Record<string, Service>): string[] => {
  const active = new Set(asked.map((p) => p.trim()).filter(Boolean))
  for (const target of targets) for (const profile of services[target]?.profiles ?? []) active.add(profile)
  return [...active]
}

const isEnabled = (service: Service, profiles: string[]): boolean =>
  !service.profiles?.length || profiles.includes('*') || service.profiles.some((profile) => profiles.includes(profile))

/** Moves services without an active profile out, and optional dependencies on them with them. */
export const applyProfiles = (project: Project): void => {
  for (const [name, service] of Object.entries(project.services)) {
    if (isEnabled(service, project.profiles)) continue
    project.disabledServices[name] = service
    delete project.services[name]
  }
  for (const service of Object.values(project.services))
    for (const [name, dependency] of Object.entries(service.depends_on ?? {}))
      if (!dependency.required && !project.services[name]) delete service.depends_on![name]
}
