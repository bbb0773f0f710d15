/** Privileges: as few as the file and the image allow. */
import type { Service } from '../../spec/compose/project.ts'
import type { PodSpec, SecurityContext } from '../../spec/kube/generated/types.ts'
import type { Lowering } from './context.ts'
import type { Piece } from './piece.ts'
import { uidOf } from './process.ts'

const safeSysctls = new Set([
  'kernel.shm_rmid_forced',
  'net.ipv4.ip_local_port_range',
  'net.ipv4.tcp_syncookies',
  'net.ipv4.ping_group_range',
  'net.ipv4.ip_unprivileged_port_start',
  'net.ipv4.ip_local_reserved_ports',
  'net.ipv4.tcp_keepalive_time',
  'net.ipv4.tcp_fin_timeout',
  'net.ipv4.tcp_keepalive_intvl',
  'net.ipv4.tcp_keepalive_probes',
])
const capability = (name: string): string => name.toUpperCase().replace(/^CAP_/, '')

export const security = (service: Service, lowering: Lowering): Piece => {
  const options = readOptions(service, lowering)
  const add = (service.cap_add ?? []).map(capability)
  const uid = uidOf(service, lowering)
  // Without root, added capabilities and with no way to gain privileges, the default set is of no use: the restricted
  // level of Pod Security wants it dropped. Binding low ports stays possible where the node's sysctl does not allow it.
  const unprivileged = uid !== undefined && uid !== 0 && !service.privileged && !add.length && options.noNewPrivileges
  const drop = unprivileged ? ['ALL'] : (service.cap_drop ?? []).map(capability)
  const escalates = service.privileged || add.includes('SYS_ADMIN') || add.includes('ALL') || !options.noNewPrivileges
  const context: SecurityContext = {
    ...options.context,
    ...(escalates ? {} : { allowPrivilegeEscalation: false }),
    ...(service.privileged && { privileged: true }),
    ...(service.read_only && { readOnlyRootFilesystem: true }),
    ...((add.length || drop.length) && {
      capabilities: { ...(add.length && { add }), ...(drop.length && { drop }) },
    }),
  }
  if (
    service.privileged ||
    add.some((c) => c !== 'NET_BIND_SERVICE') ||
    service.pid === 'host' ||
    service.ipc === 'host'
  )
    lowering.onlyHere(
      service.name,
      service.privileged ? 'privileged' : add.length ? 'cap_add' : service.pid === 'host' ? 'pid' : 'ipc',
      'the Pod Security levels baseline and restricted forbid this',
      'Give the namespace the label pod-security.kubernetes.io/enforce: privileged, or do without.',
    )
  const { pod, podRuntime } = namespaces(service, lowering)
  return {
    container: { securityContext: context },
    pod: { ...pod, securityContext: { ...options.pod, ...sysctls(service, lowering).pod } },
    podRuntime: { ...podRuntime, ...sysctls(service, lowering).podRuntime },
    runtime: {
      ...(options.runtime.length && { securityOptions: options.runtime }),
      ...(service.userns_mode !== undefined && { usernsMode: service.userns_mode }),
    },
  }
}

interface Options {
  noNewPrivileges: boolean
  context: SecurityContext
  pod: NonNullable<PodSpec['securityContext']>
  runtime: string[]
}
/** security_opt: `key=value` or `key:value`. */
const readOptions = (service: Service, lowering: Lowering): Options => {
  const result: Options = {
    noNewPrivileges: true,
    context: {},
    pod: { seccompProfile: { type: 'RuntimeDefault' } },
    runtime: [],
  }
  if (service.privileged) result.pod = {}
  for (const [i, option] of (service.security_opt ?? []).entries()) {
    const [, key = option, value = ''] = /^([^=:]+)(?:[=:](.*))?$/s.exec(option) ?? []
    if (key === 'no-new-privileges') result.noNewPrivileges = value !== 'false'
    else if (key === 'seccomp' && value === 'unconfined') result.pod.seccompProfile = { type: 'Unconfined' }
    else if (key === 'apparmor')
      result.context.appArmorProfile =
        value === 'unconfined' ? { type: 'Unconfined' } : { type: 'Localhost', localhostProfile: value }
    else if (key === 'label' && /^(user|role|type|level):/.test(value)) {
      const cut = value.indexOf(':')
      result.context.seLinuxOptions = { ...result.context.seLinuxOptions, [value.slice(0, cut)]: value.slice(cut + 1) }
    } else if (key === 'systempaths' && value === 'unconfined') result.context.procMount = 'Unmasked'
    else {
      result.runtime.push(option)
      lowering.onlyHere(
        service.name,
        `security_opt.${i}`,
        `"${option}" has no counterpart in a pod`,
        'Install the profile on the nodes and name it with a securityContext.',
        'refuse',
      )
    }
  }
  return result
}

const sysctls = (service: Service, lowering: Lowering): Piece => {
  const all = Object.entries(service.sysctls ?? {})
  const unsafe = all.filter(([name]) => !safeSysctls.has(name))
  if (unsafe.length)
    lowering.onlyHere(
      service.name,
      'sysctls',
      `${unsafe.map(([name]) => name).join(', ')}: not among the safe sysctls; nodes must allow them (--allowed-unsafe-sysctls)`,
      'Allow them on the nodes, or set them there.',
    )
  const said = lowering.local ? all.filter(([name]) => safeSysctls.has(name)) : all
  return {
    ...(said.length && { pod: { sysctls: said.map(([name, value]) => ({ name, value: String(value) })) } as never }),
    ...(lowering.local &&
      unsafe.length && { podRuntime: { sysctls: Object.fromEntries(unsafe.map(([k, v]) => [k, String(v)])) } }),
  }
}

const namespaces = (service: Service, lowering: Lowering): Piece => {
  if (service.uts !== undefined)
    lowering.onlyHere(service.name, 'uts', 'a pod always has a UTS namespace of its own', 'Leave it out.')
  if (service.userns_mode !== undefined && service.userns_mode !== 'host')
    lowering.warn(service.name, 'userns_mode', `"${service.userns_mode}" is not known to Kubernetes`, 'Only "host" is.')
  for (const key of ['pid', 'ipc'] as const) {
    const mode = service[key]
    if (mode?.startsWith('container:'))
      lowering.refuse(
        service.name,
        key,
        `${mode}: containers outside the project cannot be joined`,
        'Make both services of one project and use "service:NAME".',
      )
  }
  return {
    pod: {
      ...(service.pid === 'host' && { hostPID: true }),
      ...(service.ipc === 'host' && { hostIPC: true }),
      ...(service.userns_mode === 'host' && !lowering.local && { hostUsers: true }),
      ...(service.init && !lowering.local && { shareProcessNamespace: true }),
    },
    podRuntime: { ...(service.uts !== undefined && { uts: service.uts }) },
  }
}
