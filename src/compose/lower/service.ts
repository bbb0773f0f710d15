/** All aspects of one service, put together. */
import type { Service } from '../../spec/compose/project.ts'
import { refusals } from '../support.ts'
import { reportBuild } from './build.ts'
import type { Lowering } from './context.ts'
import { environment } from './environment.ts'
import { files } from './files.ts'
import { isQualifiedName } from './names.ts'
import { containerPorts, podNetwork } from './network.ts'
import { combine, type Piece } from './piece.ts'
import { placement } from './placement.ts'
import { probes } from './probes.ts'
import { command, preStart, stopping, streams, uidOf, user } from './process.ts'
import { resources } from './resources.ts'
import { security } from './security.ts'
import { storage } from './storage.ts'

export const lowerService = (service: Service, lowering: Lowering): Piece => {
  for (const [attribute, { message, hint }] of Object.entries(refusals))
    if (service[attribute as keyof Service]) lowering.refuse(service.name, attribute, message, hint)
  reportBuild(service, lowering)
  const ports = containerPorts(service, lowering)
  const main = combine([
    { container: { imagePullPolicy: pullPolicy(service) } },
    command(service, lowering),
    streams(service),
    ...(ports.length ? [{ container: { ports } }] : []),
    environment(service, lowering),
    resources(service, lowering),
    probes(service, lowering),
    stopping(service, lowering),
    user(service, lowering),
    security(service, lowering),
    files(service, lowering),
    storage(service, lowering),
    ownership(service, lowering),
    podNetwork(service, lowering),
    placement(service, lowering),
    logging(service, lowering),
    annotations(service, lowering),
  ])
  return combine([main, preStart(service, lowering, main)])
}

/** Images that were built here are nowhere else: only `always` asks a registry again. */
const pullPolicy = (service: Service): string =>
  service.pull_policy === 'always' ? 'Always' : service.pull_policy === 'never' ? 'Never' : 'IfNotPresent'

/** Storage of a cluster belongs to root; a program that does not run as root needs the group. */
const ownership = (service: Service, lowering: Lowering): Piece => {
  const uid = uidOf(service, lowering)
  const persistent = (service.volumes ?? []).some((m) => m.type === 'volume' && m.source && !m.read_only)
  if (lowering.local || !persistent || uid === 0 || uid === undefined) return {}
  if (Number.isNaN(uid)) {
    lowering.warn(
      service.name,
      'user',
      "the image's user is a name, so the volume's group cannot be set to it",
      'Write a numeric USER in the Dockerfile, or `user:` in the file.',
    )
    return {}
  }
  const gid = (service.user ?? lowering.image(service).config?.User ?? '').split(':')[1]
  const fsGroup = gid !== undefined && /^\d+$/.test(gid) ? Number(gid) : uid
  return { pod: { securityContext: { fsGroup, fsGroupChangePolicy: 'OnRootMismatch' } } }
}

const logging = (service: Service, lowering: Lowering): Piece => {
  const said = service.logging
  if (!said) return {}
  const driver = said.driver ?? 'json-file'
  lowering.onlyHere(
    service.name,
    'logging',
    "logs go where the cluster's nodes send them",
    "Configure the nodes' log collector.",
  )
  if (lowering.local && !['json-file', 'local', 'none'].includes(driver))
    lowering.warn(
      service.name,
      'logging.driver',
      `log driver "${driver}" is not supported; json-file is used`,
      'Use json-file, local or none.',
    )
  const options = Object.fromEntries(
    Object.entries(said.options ?? {})
      .filter(([, v]) => v !== null)
      .map(([k, v]) => [k, String(v)]),
  )
  return { runtime: { log: { driver: ['local', 'none'].includes(driver) ? driver : 'json-file', options } } }
}

/** Labels of a container are for people and tools to read: annotations, since those take any value. */
const annotations = (service: Service, lowering: Lowering): Piece => {
  const all = { ...service.labels, ...service.annotations }
  const valid = Object.entries(all).filter(([key]) => isQualifiedName(key))
  for (const key of Object.keys(all))
    if (!isQualifiedName(key))
      lowering.onlyHere(
        service.name,
        key in (service.labels ?? {}) ? 'labels' : 'annotations',
        `"${key}" cannot be the key of an annotation`,
        'Use letters, digits, dots, dashes, and at most one slash.',
      )
  const invalidAnnotations = Object.keys(service.annotations ?? {}).filter((key) => !isQualifiedName(key))
  if (lowering.local && invalidAnnotations.length)
    lowering.warn(
      service.name,
      'annotations',
      `${invalidAnnotations.join(', ')}: not valid as the key of an annotation`,
      'Use letters, digits, dots, dashes, and at most one slash.',
    )
  return valid.length
    ? { podAnnotations: Object.fromEntries(valid.sort(([a], [b]) => (a < b ? -1 : 1)).map(([k, v]) => [k, String(v)])) }
    : {}
}
