/** What is left unsaid and always meant: the default network, names, dependencies that follow from other attributes. */
import type { Build, Project, Service } from '../../spec/compose/project.ts'

export const normalize = (project: Project): void => {
  for (const service of [...Object.values(project.services), ...Object.values(project.disabledServices)]) {
    if (service.build) {
      service.build.context ??= project.workingDir
      if (service.build.dockerfile_inline === undefined) service.build.dockerfile ??= 'Dockerfile'
      resolveArguments(service.build, project)
    }
    if (
      service.provider === undefined &&
      service.network_mode === undefined &&
      !Object.keys(service.networks ?? {}).length
    )
      service.networks = { default: null }
    implyDependencies(service)
  }
  if (Object.values(project.services).some((s) => s.networks && 'default' in s.networks))
    project.networks.default ??= { name: '' }
  for (const kind of ['networks', 'volumes', 'secrets', 'configs'] as const)
    for (const [key, item] of Object.entries(project[kind]))
      if (!item.name) item.name = item.external ? key : `${project.name}_${key}`
}

/** `- KEY` takes the caller's value; without one the Dockerfile's default holds. */
const resolveArguments = (build: Build, project: Project): void => {
  for (const [key, value] of Object.entries(build.args ?? {})) {
    if (value !== null) continue
    if (Object.hasOwn(project.environment, key)) build.args![key] = project.environment[key]!
    else delete build.args![key]
  }
}

/** `service:x` in a namespace, links and volumes_from mean that x goes first. */
const implyDependencies = (service: Service): void => {
  const implied = new Map<string, { restart?: boolean }>()
  for (const mode of [service.network_mode, service.ipc, service.pid, service.uts, service.cgroup])
    if (mode?.startsWith('service:')) implied.set(mode.slice('service:'.length), { restart: true })
  for (const link of service.links ?? []) implied.set(link.split(':')[0]!, { restart: true })
  for (const from of service.volumes_from ?? [])
    if (!from.startsWith('container:')) implied.set(from.split(':')[0]!, {})
  for (const [name, more] of implied) {
    service.depends_on ??= {}
    service.depends_on[name] ??= { condition: 'service_started', required: true, ...more }
  }
}
