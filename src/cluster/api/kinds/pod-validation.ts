/** What a pod spec must keep to, as pkg/apis/core/validation words it. Structure and types have been checked already. */
import { posix } from 'node:path'
import { compareQuantities } from '../../../lib/quantity.ts'
import {
  isConfigMapKey,
  isDns1123Label,
  isDns1123Subdomain,
  isEnvVarName,
  isLabelValue,
  isPortName,
  isQualifiedName,
} from '../../../spec/kube/names.ts'
import { duplicate, invalid, missing, required, unsupported } from '../errors.ts'
import type { Draft } from '../resource.ts'
import {
  type Errors,
  forbidden,
  ip,
  mustBeOneOf,
  names,
  notNegative,
  oneOf,
  port,
  portOrName,
  quantityNotNegative,
  unique,
} from './field.ts'

const supportedProtocols = ['SCTP', 'TCP', 'UDP']

const handlers = ['exec', 'httpGet', 'tcpSocket', 'grpc', 'sleep']
const validateHandler = (handler: Draft, path: string, errors: Errors): void => {
  const given = handlers.filter((key) => handler[key])
  if (given.length === 0) errors.push(required(path, 'must specify a handler type'))
  for (const extra of given.slice(1))
    errors.push(forbidden(`${path}.${extra}`, 'may not specify more than 1 handler type'))
  if (handler.exec && !handler.exec.command?.length) errors.push(required(`${path}.exec.command`))
  if (handler.httpGet) {
    if (!handler.httpGet.path) errors.push(required(`${path}.httpGet.path`))
    portOrName(`${path}.httpGet.port`, handler.httpGet.port, errors)
    oneOf(`${path}.httpGet.scheme`, handler.httpGet.scheme, ['HTTP', 'HTTPS'], errors)
  }
  if (handler.tcpSocket) portOrName(`${path}.tcpSocket.port`, handler.tcpSocket.port, errors)
  if (handler.grpc) port(`${path}.grpc.port`, handler.grpc.port, errors)
}
const validateProbe = (probe: Draft, path: string, onlyOneSuccess: boolean, errors: Errors): void => {
  if (!probe) return
  validateHandler(probe, path, errors)
  for (const key of ['initialDelaySeconds', 'timeoutSeconds', 'periodSeconds', 'successThreshold', 'failureThreshold'])
    notNegative(`${path}.${key}`, probe[key], errors)
  if (onlyOneSuccess && probe.successThreshold !== 1)
    errors.push(invalid(`${path}.successThreshold`, probe.successThreshold, 'must be 1'))
  if (probe.terminationGracePeriodSeconds !== undefined && probe.terminationGracePeriodSeconds <= 0)
    errors.push(
      invalid(`${path}.terminationGracePeriodSeconds`, probe.terminationGracePeriodSeconds, 'must be greater than 0'),
    )
}

const validateResources = (resources: Draft, path: string, errors: Errors): void => {
  for (const side of ['limits', 'requests'])
    for (const [name, value] of Object.entries((resources?.[side] ?? {}) as Record<string, string>)) {
      const at = `${path}.${side}[${name}]`
      for (const reason of isQualifiedName(name)) errors.push(invalid(at, name, reason))
      if (!name.includes('/') && !/^(cpu|memory|ephemeral-storage|storage|hugepages-.+)$/.test(name))
        errors.push(invalid(`${path}.${side}[${name}]`, name, 'must be a standard resource type or fully qualified'))
      quantityNotNegative(at, value, errors)
    }
  for (const [name, request] of Object.entries((resources?.requests ?? {}) as Record<string, string>)) {
    const limit = resources.limits?.[name]
    if (limit !== undefined && compareQuantities(request, limit) > 0)
      errors.push(invalid(`${path}.requests`, request, `must be less than or equal to ${name} limit of ${limit}`))
  }
}

const validateEnv = (env: Draft[], path: string, errors: Errors): void => {
  for (const [i, entry] of env.entries()) {
    const at = `${path}[${i}]`
    if (!entry.name) errors.push(required(`${at}.name`))
    else names(`${at}.name`, entry.name, isEnvVarName, errors)
    const from = entry.valueFrom
    if (!from) continue
    const kinds = ['fieldRef', 'resourceFieldRef', 'configMapKeyRef', 'secretKeyRef', 'fileKeyRef'].filter(
      (key) => from[key],
    )
    if (kinds.length === 0)
      errors.push(
        invalid(
          `${at}.valueFrom`,
          '',
          'must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef` or `secretKeyRef`',
        ),
      )
    else if (entry.value) errors.push(invalid(`${at}.valueFrom`, '', 'may not be specified when `value` is not empty'))
    else if (kinds.length > 1)
      errors.push(invalid(`${at}.valueFrom`, '', 'may not have more than one field specified at a time'))
    for (const kind of ['configMapKeyRef', 'secretKeyRef']) {
      const ref = from[kind]
      if (!ref) continue
      if (!ref.name) errors.push(required(`${at}.valueFrom.${kind}.name`))
      if (!ref.key) errors.push(required(`${at}.valueFrom.${kind}.key`))
      else names(`${at}.valueFrom.${kind}.key`, ref.key, isConfigMapKey, errors)
    }
    if (from.fieldRef && !from.fieldRef.fieldPath) errors.push(required(`${at}.valueFrom.fieldRef.fieldPath`))
    if (from.resourceFieldRef && !from.resourceFieldRef.resource)
      errors.push(required(`${at}.valueFrom.resourceFieldRef.resource`))
  }
}

const validatePorts = (ports: Draft[], path: string, errors: Errors): void => {
  const seen = new Set<string>()
  for (const [i, entry] of ports.entries()) {
    const at = `${path}[${i}]`
    if (entry.name) {
      const reasons = isPortName(entry.name)
      for (const reason of reasons) errors.push(invalid(`${at}.name`, entry.name, reason))
      if (reasons.length === 0 && seen.has(entry.name)) errors.push(duplicate(`${at}.name`, entry.name))
      seen.add(entry.name)
    }
    if (!entry.containerPort) errors.push(required(`${at}.containerPort`))
    else port(`${at}.containerPort`, entry.containerPort, errors)
    if (entry.hostPort) port(`${at}.hostPort`, entry.hostPort, errors)
    mustBeOneOf(`${at}.protocol`, entry.protocol, supportedProtocols, errors)
    if (entry.hostIP) ip(`${at}.hostIP`, entry.hostIP, errors)
  }
}

const validateMounts = (container: Draft, volumes: Map<string, Draft>, path: string, errors: Errors): void => {
  const points = new Set<string>()
  for (const [i, mount] of ((container.volumeMounts ?? []) as Draft[]).entries()) {
    const at = `${path}.volumeMounts[${i}]`
    if (!mount.name) errors.push(required(`${at}.name`))
    else if (!volumes.has(mount.name)) errors.push(missing(`${at}.name`, mount.name))
    if (!mount.mountPath) errors.push(required(`${at}.mountPath`))
    else if (points.has(mount.mountPath)) errors.push(invalid(`${at}.mountPath`, mount.mountPath, 'must be unique'))
    points.add(mount.mountPath)
    for (const key of ['subPath', 'subPathExpr']) {
      const value = mount[key]
      if (!value) continue
      if (posix.isAbsolute(value)) errors.push(invalid(`${at}.${key}`, value, 'must be a relative path'))
      else if (value.split('/').includes('..')) errors.push(invalid(`${at}.${key}`, value, "must not contain '..'"))
    }
    if (mount.subPath && mount.subPathExpr)
      errors.push(invalid(`${at}.subPathExpr`, mount.subPathExpr, 'subPathExpr and subPath are mutually exclusive'))
    oneOf(`${at}.mountPropagation`, mount.mountPropagation, ['Bidirectional', 'HostToContainer', 'None'], errors)
    if (mount.mountPropagation === 'Bidirectional' && !container.securityContext?.privileged)
      errors.push(
        forbidden(
          `${at}.mountPropagation`,
          'Bidirectional mount propagation is available only to privileged containers',
        ),
      )
  }
}

const validateContainer = (
  container: Draft,
  volumes: Map<string, Draft>,
  path: string,
  kind: 'container' | 'init' | 'ephemeral',
  errors: Errors,
): void => {
  if (!container.name) errors.push(required(`${path}.name`))
  else names(`${path}.name`, container.name, isDns1123Label, errors)
  if (!container.image) errors.push(required(`${path}.image`))
  else if (container.image !== container.image.trim())
    errors.push(invalid(`${path}.image`, container.image, 'must not have leading or trailing whitespace'))
  mustBeOneOf(
    `${path}.imagePullPolicy`,
    container.imagePullPolicy ?? 'Always',
    ['Always', 'IfNotPresent', 'Never'],
    errors,
  )
  mustBeOneOf(
    `${path}.terminationMessagePolicy`,
    container.terminationMessagePolicy,
    ['FallbackToLogsOnError', 'File'],
    errors,
  )
  validatePorts(container.ports ?? [], `${path}.ports`, errors)
  validateEnv(container.env ?? [], `${path}.env`, errors)
  for (const [i, source] of ((container.envFrom ?? []) as Draft[]).entries()) {
    const at = `${path}.envFrom[${i}]`
    const kinds = ['configMapRef', 'secretRef'].filter((key) => source[key])
    if (kinds.length === 0) errors.push(invalid(at, '', 'must specify one of: `configMapRef` or `secretRef`'))
    if (kinds.length > 1) errors.push(invalid(at, '', 'may not have more than one field specified at a time'))
    for (const key of kinds) if (!source[key].name) errors.push(required(`${at}.${key}.name`))
    if (source.prefix) names(`${at}.prefix`, source.prefix, isEnvVarName, errors)
  }
  validateMounts(container, volumes, path, errors)
  validateResources(container.resources, `${path}.resources`, errors)
  const sidecar = kind === 'init' && container.restartPolicy === 'Always'
  if (kind === 'container' || sidecar) {
    validateProbe(container.livenessProbe, `${path}.livenessProbe`, true, errors)
    validateProbe(container.readinessProbe, `${path}.readinessProbe`, false, errors)
    validateProbe(container.startupProbe, `${path}.startupProbe`, true, errors)
    if (container.lifecycle?.postStart)
      validateHandler(container.lifecycle.postStart, `${path}.lifecycle.postStart`, errors)
    if (container.lifecycle?.preStop) validateHandler(container.lifecycle.preStop, `${path}.lifecycle.preStop`, errors)
  } else
    for (const key of ['lifecycle', 'livenessProbe', 'readinessProbe', 'startupProbe'])
      if (container[key])
        errors.push(
          forbidden(
            `${path}.${key}`,
            kind === 'init'
              ? 'may not be set for init containers without restartPolicy=Always'
              : 'cannot be set for an Ephemeral Container',
          ),
        )
  if (kind === 'init' && container.restartPolicy)
    oneOf(`${path}.restartPolicy`, container.restartPolicy, ['Always'], errors)
  validateSecurity(container.securityContext, `${path}.securityContext`, errors)
}

const validateSecurity = (context: Draft, path: string, errors: Errors): void => {
  if (context?.runAsUser < 0)
    errors.push(invalid(`${path}.runAsUser`, context.runAsUser, 'must be between 0 and 2147483647, inclusive'))
  if (context?.privileged && context.allowPrivilegeEscalation === false)
    errors.push(invalid(`${path}`, context, 'cannot set `allowPrivilegeEscalation` to false and `privileged` to true'))
}

const validateVolume = (volume: Draft, path: string, errors: Errors): void => {
  if (!volume.name) errors.push(required(`${path}.name`))
  else names(`${path}.name`, volume.name, isDns1123Label, errors)
  const sources = Object.keys(volume).filter((key) => key !== 'name')
  if (sources.length === 0) errors.push(required(path, 'must specify a volume type'))
  for (const extra of sources.slice(1))
    errors.push(forbidden(`${path}.${extra}`, 'may not specify more than 1 volume type'))
  if (volume.secret && !volume.secret.secretName) errors.push(required(`${path}.secret.secretName`))
  if (volume.configMap && !volume.configMap.name) errors.push(required(`${path}.configMap.name`))
  if (volume.persistentVolumeClaim && !volume.persistentVolumeClaim.claimName)
    errors.push(required(`${path}.persistentVolumeClaim.claimName`))
  if (volume.hostPath) {
    if (!volume.hostPath.path) errors.push(required(`${path}.hostPath.path`))
    else if (volume.hostPath.path.split('/').includes('..'))
      errors.push(invalid(`${path}.hostPath.path`, volume.hostPath.path, "must not contain '..'"))
    oneOf(
      `${path}.hostPath.type`,
      volume.hostPath.type,
      ['', 'BlockDevice', 'CharDevice', 'Directory', 'DirectoryOrCreate', 'File', 'FileOrCreate', 'Socket'],
      errors,
    )
  }
  if (volume.emptyDir?.sizeLimit !== undefined)
    quantityNotNegative(`${path}.emptyDir.sizeLimit`, volume.emptyDir.sizeLimit, errors)
  for (const kind of ['secret', 'configMap', 'downwardAPI', 'projected']) {
    const mode = volume[kind]?.defaultMode
    if (mode !== undefined && (mode < 0 || mode > 0o777))
      errors.push(
        invalid(`${path}.${kind}.defaultMode`, mode, 'must be a number between 0 and 0777 (octal), both inclusive'),
      )
    for (const [i, item] of ((volume[kind]?.items ?? []) as Draft[]).entries()) {
      const at = `${path}.${kind}.items[${i}]`
      if (kind !== 'downwardAPI' && !item.key) errors.push(required(`${at}.key`))
      if (!item.path) errors.push(required(`${at}.path`))
      else if (posix.isAbsolute(item.path)) errors.push(invalid(`${at}.path`, item.path, 'must be a relative path'))
      else if (item.path.split('/').includes('..'))
        errors.push(invalid(`${at}.path`, item.path, "must not contain '..'"))
    }
  }
}

export const validatePodSpec = (spec: Draft, path: string, errors: Errors): void => {
  const volumes = new Map<string, Draft>()
  for (const [i, volume] of ((spec.volumes ?? []) as Draft[]).entries()) {
    validateVolume(volume, `${path}.volumes[${i}]`, errors)
    if (volumes.has(volume.name)) errors.push(duplicate(`${path}.volumes[${i}].name`, volume.name))
    volumes.set(volume.name, volume)
  }
  if (!spec.containers?.length) errors.push(required(`${path}.containers`))
  const seen = new Set<string>()
  for (const [list, kind] of [
    ['initContainers', 'init'],
    ['containers', 'container'],
    ['ephemeralContainers', 'ephemeral'],
  ] as const)
    for (const [i, container] of ((spec[list] ?? []) as Draft[]).entries()) {
      const at = `${path}.${list}[${i}]`
      validateContainer(container, volumes, at, kind, errors)
      if (container.name && seen.has(container.name)) errors.push(duplicate(`${at}.name`, container.name))
      seen.add(container.name)
    }
  validateHostPorts(spec, path, errors)
  mustBeOneOf(`${path}.restartPolicy`, spec.restartPolicy, ['Always', 'OnFailure', 'Never'], errors)
  mustBeOneOf(
    `${path}.dnsPolicy`,
    spec.dnsPolicy,
    ['ClusterFirstWithHostNet', 'ClusterFirst', 'Default', 'None'],
    errors,
  )
  if (spec.dnsPolicy === 'None' && !spec.dnsConfig?.nameservers?.length)
    errors.push(
      required(`${path}.dnsConfig.nameservers`, `must provide at least one DNS nameserver when \`dnsPolicy\` is None`),
    )
  validateSettings(spec, path, errors)
}

const validateHostPorts = (spec: Draft, path: string, errors: Errors): void => {
  const used: { key: string; path: string; port: number }[] = []
  for (const [i, container] of ((spec.containers ?? []) as Draft[]).entries())
    for (const [j, entry] of ((container.ports ?? []) as Draft[]).entries()) {
      const at = `${path}.containers[${i}].ports[${j}]`
      if (entry.hostPort)
        used.push({
          key: `${entry.protocol}/${entry.hostIP ?? ''}/${entry.hostPort}`,
          path: `${at}.hostPort`,
          port: entry.hostPort,
        })
      if (spec.hostNetwork && entry.hostPort && entry.hostPort !== entry.containerPort)
        errors.push(
          invalid(`${at}.containerPort`, entry.containerPort, 'must match `hostPort` when `hostNetwork` is true'),
        )
    }
  unique(
    used,
    (u: (typeof used)[0]) => u.key,
    (i) => used[i]!.path,
    errors,
    (u: (typeof used)[0]) => u.key,
  )
}

const validateSettings = (spec: Draft, path: string, errors: Errors): void => {
  if (spec.serviceAccountName) names(`${path}.serviceAccountName`, spec.serviceAccountName, isDns1123Subdomain, errors)
  if (spec.hostname) names(`${path}.hostname`, spec.hostname, isDns1123Label, errors)
  if (spec.subdomain) names(`${path}.subdomain`, spec.subdomain, isDns1123Label, errors)
  if (spec.nodeName) names(`${path}.nodeName`, spec.nodeName, isDns1123Subdomain, errors)
  if (
    spec.activeDeadlineSeconds !== undefined &&
    (spec.activeDeadlineSeconds < 1 || spec.activeDeadlineSeconds > 2147483647)
  )
    errors.push(
      invalid(
        `${path}.activeDeadlineSeconds`,
        spec.activeDeadlineSeconds,
        'must be between 1 and 2147483647, inclusive',
      ),
    )
  notNegative(`${path}.terminationGracePeriodSeconds`, spec.terminationGracePeriodSeconds, errors)
  for (const [key, value] of Object.entries((spec.nodeSelector ?? {}) as Record<string, string>)) {
    names(`${path}.nodeSelector`, key, isQualifiedName, errors)
    names(`${path}.nodeSelector`, value, isLabelValue, errors)
  }
  for (const [i, alias] of ((spec.hostAliases ?? []) as Draft[]).entries()) {
    ip(`${path}.hostAliases[${i}].ip`, alias.ip ?? '', errors)
    for (const [j, name] of ((alias.hostnames ?? []) as string[]).entries())
      names(`${path}.hostAliases[${i}].hostnames[${j}]`, name, isDns1123Subdomain, errors)
  }
  for (const [i, toleration] of ((spec.tolerations ?? []) as Draft[]).entries()) {
    const at = `${path}.tolerations[${i}]`
    if (toleration.key) names(`${at}.key`, toleration.key, isQualifiedName, errors)
    if (!toleration.key && toleration.operator !== 'Exists')
      errors.push(
        invalid(
          `${at}.operator`,
          toleration.operator ?? '',
          'operator must be Exists when `key` is empty, which means "match all values and all keys"',
        ),
      )
    if (toleration.operator && !['Equal', 'Exists'].includes(toleration.operator))
      errors.push(unsupported(`${at}.operator`, toleration.operator, ['Equal', 'Exists']))
    if (toleration.operator === 'Exists' && toleration.value)
      errors.push(invalid(`${at}.operator`, toleration, "value must be empty when `operator` is 'Exists'"))
    if (toleration.effect)
      oneOf(`${at}.effect`, toleration.effect, ['NoSchedule', 'PreferNoSchedule', 'NoExecute'], errors)
    if (toleration.tolerationSeconds !== undefined && toleration.effect !== 'NoExecute')
      errors.push(
        invalid(`${at}.effect`, toleration.effect ?? '', "effect must be 'NoExecute' when `tolerationSeconds` is set"),
      )
  }
  for (const [i, constraint] of ((spec.topologySpreadConstraints ?? []) as Draft[]).entries()) {
    const at = `${path}.topologySpreadConstraints[${i}]`
    if (!(constraint.maxSkew > 0))
      errors.push(invalid(`${at}.maxSkew`, constraint.maxSkew ?? 0, 'must be greater than zero'))
    if (!constraint.topologyKey) errors.push(required(`${at}.topologyKey`, 'can not be empty'))
    mustBeOneOf(`${at}.whenUnsatisfiable`, constraint.whenUnsatisfiable, ['DoNotSchedule', 'ScheduleAnyway'], errors)
  }
}
