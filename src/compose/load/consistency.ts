/** What the schema cannot say: references that must exist, attributes that contradict each other. */

import { nearest } from '../../lib/nearest.ts'
import type { Project, Service } from '../../spec/compose/project.ts'
import { positionOf } from '../../spec/compose/project.ts'
import type { Problem } from './problem.ts'

export const checkConsistency = (project: Project, problem: Problem): void => {
  for (const service of Object.values(project.services)) {
    const fail: Fail = (path, message, hint) =>
      problem(
        positionOf(project, path ? `services.${service.name}.${path}` : `services.${service.name}`),
        message,
        hint,
      )
    checkReferences(service, project, fail)
    checkContradictions(service, fail)
    checkMounts(service, fail)
  }
  checkObjects(project, problem)
  checkCycles(project, problem)
}
type Fail = (path: string, message: string, hint?: string) => Error

const meant = (name: string, names: Iterable<string>): string | undefined => {
  const found = nearest(name, names)
  return found && `Did you mean '${found}'?`
}

const checkReferences = (service: Service, project: Project, fail: Fail): void => {
  const { name } = service
  if (service.image === undefined && !service.build && !service.provider)
    throw fail(
      '',
      `service "${name}" has neither an image nor a build context specified: invalid project`,
      'Give it `image:` or `build:`.',
    )
  for (const [target, dependency] of Object.entries(service.depends_on ?? {})) {
    if (project.services[target]) continue
    const disabled = project.disabledServices[target]
    if (disabled)
      throw fail(
        `depends_on.${target}`,
        `service "${target}" is required by "${name}" but is disabled. Can be enabled by profiles [${disabled.profiles?.join(' ')}]`,
        `Add --profile ${disabled.profiles?.[0]}, or set \`required: false\`.`,
      )
    if (dependency.required)
      throw fail(
        `depends_on.${target}`,
        `service "${name}" depends on undefined service "${target}": invalid project`,
        meant(target, Object.keys(project.services)),
      )
  }
  for (const attribute of ['network_mode', 'ipc', 'pid'] as const) {
    const target = service[attribute]?.startsWith('service:') ? service[attribute]!.slice(8) : undefined
    if (target !== undefined && !project.services[target])
      throw fail(
        attribute,
        `service "${name}" refers to undefined service "${target}" in ${attribute}: invalid project`,
      )
  }
  const lists = [
    ['network', 'networks', Object.keys(service.networks ?? {}).map((key) => [key, `networks.${key}`] as const)],
    [
      'volume',
      'volumes',
      (service.volumes ?? []).flatMap((m, i) =>
        m.type === 'volume' && m.source ? [[m.source, `volumes.${i}`] as const] : [],
      ),
    ],
    ['secret', 'secrets', (service.secrets ?? []).map((m, i) => [m.source, `secrets.${i}`] as const)],
    [
      'build secret',
      'secrets',
      (service.build?.secrets ?? []).map((m, i) => [m.source, `build.secrets.${i}`] as const),
    ],
    ['config', 'configs', (service.configs ?? []).map((m, i) => [m.source, `configs.${i}`] as const)],
    ['model', 'models', Object.keys(service.models ?? {}).map((key) => [key, `models.${key}`] as const)],
  ] as const
  for (const [what, kind, references] of lists)
    for (const [key, path] of references)
      if (!project[kind][key])
        throw fail(
          path,
          `service "${name}" refers to undefined ${what} ${key}: invalid project`,
          meant(key, Object.keys(project[kind])) ?? `Declare it under the top-level \`${kind}:\`.`,
        )
}

const checkContradictions = (service: Service, fail: Fail): void => {
  const { name, deploy } = service
  if (service.network_mode !== undefined && service.networks && Object.keys(service.networks).length)
    throw fail(
      'network_mode',
      `service ${name} declares mutually exclusive \`network_mode\` and \`networks\`: invalid project`,
    )
  if (
    service.build?.dockerfile !== undefined &&
    service.build.dockerfile_inline !== undefined &&
    service.build.dockerfile !== 'Dockerfile'
  )
    throw fail(
      'build',
      `service "${name}" declares mutually exclusive dockerfile and dockerfile_inline: invalid project`,
    )
  if (service.platform && service.build?.platforms && !service.build.platforms.includes(service.platform))
    throw fail('build.platforms', `service.build.platforms MUST include service.platform "${service.platform}"`)
  const pairs = [
    ['scale', service.scale, 'deploy.replicas', deploy?.replicas],
    ['cpus', service.cpus, 'deploy.resources.limits.cpus', deploy?.resources?.limits?.cpus],
    ['mem_limit', service.mem_limit, 'deploy.resources.limits.memory', deploy?.resources?.limits?.memory],
    [
      'mem_reservation',
      service.mem_reservation,
      'deploy.resources.reservations.memory',
      deploy?.resources?.reservations?.memory,
    ],
    ['pids_limit', service.pids_limit, 'deploy.resources.limits.pids', deploy?.resources?.limits?.pids],
  ] as const
  for (const [one, a, other, b] of pairs)
    if (a !== undefined && b !== undefined && a !== b)
      throw fail(
        one,
        `services.${name}: can't set distinct values on '${one}' and '${other}': invalid project`,
        'Keep one of them.',
      )
  const replicas = service.scale ?? deploy?.replicas ?? 1
  if (service.container_name !== undefined && replicas > 1)
    throw fail(
      'container_name',
      `services.${name}: can't set container_name and ${service.scale !== undefined ? 'scale' : 'deploy.replicas'} > 1: container names must be unique: invalid project`,
      'Leave container_name out; the service name resolves to all replicas.',
    )
  const knobs = service['x-slipway']
  if (knobs?.autoscale && (knobs.autoscale.min ?? 1) > knobs.autoscale.max)
    throw fail('x-slipway.autoscale', `services.${name}.x-slipway.autoscale: min is greater than max`)
  for (const [i, rule] of (service.develop?.watch ?? []).entries())
    if (rule.action.startsWith('sync') && rule.target === undefined)
      throw fail(
        `develop.watch.${i}`,
        `services.${name}.develop.watch: target is required for non-rebuild actions: invalid project`,
      )
  const requests = [
    ...(Array.isArray(service.gpus) ? service.gpus : []),
    ...(deploy?.resources?.reservations?.devices ?? []),
  ]
  if (requests.some((r) => r.count !== undefined && r.device_ids))
    throw fail('', `services.${name}: "count" and "device_ids" attributes are exclusive`)
}

const checkMounts = (service: Service, fail: Fail): void => {
  const taken = new Map<string, string>()
  const take = (target: string, path: string): void => {
    const before = taken.get(target)
    if (before)
      throw fail(
        path,
        `services.${service.name}.${path}: target ${target} already mounted as services.${service.name}.${before}`,
      )
    taken.set(target, path)
  }
  for (const [i, mount] of (service.volumes ?? []).entries()) {
    if (!mount.target)
      throw fail(
        `volumes.${i}`,
        `services.${service.name}.volumes.${i}: missing a mount target`,
        'Add `target: /path/in/the/container`.',
      )
    take(mount.target, `volumes.${i}`)
  }
  for (const [i, spec] of (service.tmpfs ?? []).entries()) take(spec.split(':')[0]!, `tmpfs.${i}`)
  for (const [i, mount] of (service.configs ?? []).entries()) take(mount.target ?? `/${mount.source}`, `configs.${i}`)
  for (const [i, mount] of (service.secrets ?? []).entries()) {
    const target = mount.target ?? mount.source
    take(target.startsWith('/') ? target : `/run/secrets/${target}`, `secrets.${i}`)
  }
}

const checkObjects = (project: Project, problem: Problem): void => {
  for (const kind of ['secrets', 'configs'] as const)
    for (const [key, object] of Object.entries(project[kind])) {
      const what = kind.slice(0, -1)
      const at = positionOf(project, `${kind}.${key}`)
      const sources = [object.file, object.environment, object.content, object.driver].filter((v) => v !== undefined)
      if (object.external && sources.length)
        throw problem(
          at,
          `${kind}.${key}: conflicting parameters "external" and "file", "environment" or "content" specified`,
        )
      if (!object.external && sources.length === 0)
        throw problem(at, `${what} "${key}" must declare either \`file\` or \`environment\`: invalid project`)
      if (sources.length > 1) throw problem(at, `${kind}.${key}: file, environment and content are mutually exclusive`)
    }
  for (const kind of ['networks', 'volumes'] as const)
    for (const [key, object] of Object.entries(project[kind])) {
      const extra =
        object.external && Object.keys(object).find((k) => !['name', 'external'].includes(k) && !k.startsWith('x-'))
      if (extra)
        throw problem(
          positionOf(project, `${kind}.${key}.${extra}`),
          `${kind}.${key}: conflicting parameters "external" and "${extra}" specified`,
        )
    }
}

const checkCycles = (project: Project, problem: Problem): void => {
  const done = new Set<string>()
  const visit = (name: string, trail: string[]): void => {
    if (done.has(name)) return
    if (trail.includes(name)) {
      const cycle = [...trail.slice(trail.indexOf(name)), name].join(' -> ')
      throw problem(
        positionOf(project, `services.${trail.at(-1)}.depends_on.${name}`),
        `dependency cycle detected: ${cycle}`,
      )
    }
    for (const next of Object.keys(project.services[name]?.depends_on ?? {})) visit(next, [...trail, name])
    done.add(name)
  }
  for (const name of Object.keys(project.services)) visit(name, [])
}
