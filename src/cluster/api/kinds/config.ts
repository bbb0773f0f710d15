/** ConfigMaps, Secrets, ServiceAccounts, Namespaces and Nodes. */
import { equalJson } from '../../../lib/json.ts'
import { isConfigMapKey, isDns1123Label, isDns1123Subdomain } from '../../../spec/kube/names.ts'
import { invalid, required, tooLong } from '../errors.ts'
import type { Draft, Strategy } from '../resource.ts'
import { fillTokenSecret } from '../tokens.ts'
import { cidr, type Errors, forbidden, mustBeOneOf, names } from './field.ts'
import { fill } from './pod-defaults.ts'

const sizeLimit = 1024 * 1024
const base64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/

const immutableData = (object: Draft, old: Draft, keys: string[], errors: Errors): void => {
  if (!old.immutable) return
  if (!object.immutable) errors.push(forbidden('immutable', 'field is immutable when `immutable` is set'))
  for (const key of keys)
    if (!equalJson(object[key], old[key])) errors.push(forbidden(key, 'field is immutable when `immutable` is set'))
}

export const configMapStrategy: Strategy = {
  validate(map, errors) {
    let size = 0
    for (const key of ['data', 'binaryData'])
      for (const [name, value] of Object.entries((map[key] ?? {}) as Record<string, string>)) {
        names(`${key}[${name}]`, name, isConfigMapKey, errors)
        if (key === 'data' && map.binaryData?.[name] !== undefined)
          errors.push(invalid(`data[${name}]`, name, 'duplicate of key present in binaryData'))
        size += Buffer.byteLength(value)
      }
    if (size > sizeLimit) errors.push(tooLong('', sizeLimit))
  },
  validateUpdate: (map, old, errors) => immutableData(map, old, ['data', 'binaryData'], errors),
}

const requiredKeys: Record<string, string[]> = {
  'kubernetes.io/dockercfg': ['.dockercfg'],
  'kubernetes.io/dockerconfigjson': ['.dockerconfigjson'],
  'kubernetes.io/ssh-auth': ['ssh-privatekey'],
  'kubernetes.io/tls': ['tls.crt', 'tls.key'],
}
export const secretStrategy: Strategy = {
  fields: { type: (secret) => secret.type ?? '' },
  defaults(secret) {
    if (!secret.type) secret.type = 'Opaque'
    if (!secret.stringData) return
    secret.data ??= {}
    for (const [key, value] of Object.entries(secret.stringData as Record<string, string>))
      secret.data[key] = Buffer.from(value).toString('base64')
    delete secret.stringData
  },
  prepareCreate(secret, context) {
    if (secret.type === 'kubernetes.io/service-account-token') fillTokenSecret(context, secret)
  },
  validate(secret, errors) {
    let size = 0
    for (const [name, value] of Object.entries((secret.data ?? {}) as Record<string, string>)) {
      names(`data[${name}]`, name, isConfigMapKey, errors)
      if (!base64.test(value))
        errors.push(invalid(`data[${name}]`, '<secret contents redacted>', 'illegal base64 data'))
      size += value.length * 0.75
    }
    if (size > sizeLimit) errors.push(tooLong('data', sizeLimit))
    for (const key of requiredKeys[secret.type] ?? [])
      if (secret.data?.[key] === undefined) errors.push(required(`data[${key}]`))
    if (secret.type === 'kubernetes.io/basic-auth' && !secret.data?.username && !secret.data?.password) {
      errors.push(required('data[username]'), required('data[password]'))
    }
    if (secret.type === 'kubernetes.io/dockerconfigjson' && secret.data?.['.dockerconfigjson'])
      try {
        JSON.parse(Buffer.from(secret.data['.dockerconfigjson'], 'base64').toString())
      } catch {
        errors.push(invalid('data[.dockerconfigjson]', '<secret contents redacted>', 'invalid character'))
      }
    if (
      secret.type === 'kubernetes.io/service-account-token' &&
      !secret.metadata.annotations?.['kubernetes.io/service-account.name']
    )
      errors.push(required('metadata.annotations[kubernetes.io/service-account.name]'))
  },
  validateUpdate(secret, old, errors) {
    immutableData(secret, old, ['data'], errors)
    if (secret.type !== old.type) errors.push(invalid('type', secret.type, 'field is immutable'))
  },
}

export const namespaceStrategy: Strategy = {
  validName: isDns1123Label,
  fields: { 'status.phase': (ns) => ns.status?.phase ?? '', name: (ns) => ns.metadata.name },
  defaults(namespace) {
    namespace.spec ??= {}
    if (namespace.metadata.name)
      namespace.metadata.labels = {
        ...namespace.metadata.labels,
        'kubernetes.io/metadata.name': namespace.metadata.name,
      }
  },
  prepareCreate(namespace) {
    // The name may only just have been generated.
    namespaceStrategy.defaults!(namespace)
    namespace.spec.finalizers ??= []
    if (!namespace.spec.finalizers.includes('kubernetes')) namespace.spec.finalizers.push('kubernetes')
    namespace.status = { phase: 'Active' }
  },
  prepareUpdate(namespace, old, _context, write) {
    if (write.subresource === 'finalize') return
    namespace.spec.finalizers = old.spec?.finalizers
  },
}

export const nodeStrategy: Strategy = {
  statusOnCreate: true,
  fields: { 'spec.unschedulable': (node) => String(node.spec?.unschedulable ?? false) },
  defaults(node) {
    node.spec ??= {}
  },
  prepareCreate(node) {
    node.status ??= {}
  },
  validate(node, errors) {
    for (const [i, range] of ((node.spec.podCIDRs ?? []) as string[]).entries())
      cidr(`spec.podCIDRs[${i}]`, range, errors)
    for (const [i, taint] of ((node.spec.taints ?? []) as Draft[]).entries()) {
      if (!taint.key) errors.push(required(`spec.taints[${i}].key`))
      mustBeOneOf(`spec.taints[${i}].effect`, taint.effect, ['NoSchedule', 'PreferNoSchedule', 'NoExecute'], errors)
    }
  },
  validateUpdate(node, old, errors) {
    if (old.spec.podCIDRs?.length && !equalJson(node.spec.podCIDRs, old.spec.podCIDRs))
      errors.push(forbidden('spec.podCIDRs', 'node updates may not change podCIDR except from "" to valid'))
  },
}

export const eventStrategy: Strategy = {
  createOnUpdate: true,
  fields: {
    ...Object.fromEntries(
      ['kind', 'namespace', 'name', 'uid', 'apiVersion', 'resourceVersion', 'fieldPath'].map((key) => [
        `involvedObject.${key}`,
        (event: Draft) => event.involvedObject?.[key] ?? '',
      ]),
    ),
    reason: (event) => event.reason ?? '',
    reportingComponent: (event) => event.reportingComponent ?? '',
    source: (event) => event.source?.component || event.reportingComponent || '',
    type: (event) => event.type ?? '',
  },
  defaults(event) {
    event.involvedObject ??= {}
    fill(event, { source: {}, firstTimestamp: null, lastTimestamp: null, eventTime: null })
    for (const key of ['reportingComponent', 'reportingInstance']) event[key] ??= ''
  },
  validate(event, errors) {
    const { namespace } = event.involvedObject
    if ((namespace || 'default') !== event.metadata.namespace)
      errors.push(invalid('involvedObject.namespace', namespace ?? '', 'does not match event.namespace'))
    names('metadata.namespace', event.metadata.namespace, isDns1123Subdomain, errors)
  },
}
