/** Volumes, claims and storage classes. */
import { equalJson } from '../../../lib/json.ts'
import { compareQuantities } from '../../../lib/quantity.ts'
import { invalid, required } from '../errors.ts'
import type { Draft, Strategy } from '../resource.ts'
import { type Errors, forbidden, mustBeOneOf, oneOf } from './field.ts'
import { fill } from './pod-defaults.ts'

const accessModes = ['ReadOnlyMany', 'ReadWriteMany', 'ReadWriteOnce', 'ReadWriteOncePod']
const validateModes = (modes: string[] | undefined, path: string, errors: Errors): void => {
  if (!modes?.length) errors.push(required(path, 'at least 1 access mode is required'))
  for (const mode of modes ?? []) oneOf(path, mode, accessModes, errors)
}
const validateSize = (size: string | undefined, path: string, errors: Errors): void => {
  if (size === undefined) errors.push(required(path))
  else if (compareQuantities(size, '0') <= 0) errors.push(invalid(path, size, 'must be greater than zero'))
}

export const claimStrategy: Strategy = {
  defaults(claim) {
    claim.spec ??= {}
    fill(claim.spec, { volumeMode: 'Filesystem' })
    fill(claim.spec, { resources: {} })
  },
  prepareCreate(claim) {
    claim.status = { phase: 'Pending' }
  },
  validate({ spec }, errors) {
    validateModes(spec.accessModes, 'spec.accessModes', errors)
    validateSize(spec.resources.requests?.storage, 'spec.resources[storage]', errors)
    oneOf('spec.volumeMode', spec.volumeMode, ['Block', 'Filesystem'], errors)
  },
  validateUpdate(claim, old, errors, write) {
    if (write.subresource) return
    const size = claim.spec.resources.requests?.storage
    const before = old.spec.resources?.requests?.storage
    const rest = (spec: Draft): Draft => ({
      ...spec,
      volumeName: old.spec.volumeName ? spec.volumeName : undefined,
      storageClassName:
        old.spec.storageClassName === undefined && !old.spec.volumeName ? undefined : spec.storageClassName,
      resources: { ...spec.resources, requests: { ...spec.resources?.requests, storage: undefined } },
    })
    if (!equalJson(rest(claim.spec), rest(old.spec)))
      errors.push(
        forbidden(
          'spec',
          'spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims',
        ),
      )
    if (size === undefined || before === undefined || size === before) return
    if (compareQuantities(size, old.status?.capacity?.storage ?? before) < 0)
      errors.push(forbidden('spec.resources.requests.storage', 'field can not be less than status.capacity'))
    else if (old.status?.phase !== 'Bound')
      errors.push(
        forbidden(
          'spec',
          'spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims',
        ),
      )
  },
}

export const volumeStrategy: Strategy = {
  defaults(volume) {
    volume.spec ??= {}
    fill(volume.spec, { persistentVolumeReclaimPolicy: 'Retain', volumeMode: 'Filesystem' })
    if (volume.spec.hostPath) fill(volume.spec.hostPath, { type: '' })
  },
  prepareCreate(volume) {
    volume.status = { phase: 'Pending' }
  },
  validate({ spec }, errors) {
    validateModes(spec.accessModes, 'spec.accessModes', errors)
    if (!spec.capacity) errors.push(required('spec.capacity'))
    else validateSize(spec.capacity.storage, 'spec.capacity[storage]', errors)
    mustBeOneOf(
      'spec.persistentVolumeReclaimPolicy',
      spec.persistentVolumeReclaimPolicy,
      ['Delete', 'Recycle', 'Retain'],
      errors,
    )
    const sources = Object.keys(spec).filter(
      (key) =>
        typeof spec[key] === 'object' &&
        !['capacity', 'claimRef', 'nodeAffinity', 'accessModes', 'mountOptions'].includes(key),
    )
    if (sources.length === 0) errors.push(required('spec', 'must specify a volume type'))
    for (const extra of sources.slice(1))
      errors.push(forbidden(`spec.${extra}`, 'may not specify more than 1 volume type'))
    if (spec.local && !spec.nodeAffinity)
      errors.push(required('spec.nodeAffinity', 'Local volume requires node affinity'))
  },
}

export const storageClassStrategy: Strategy = {
  defaults(sc) {
    fill(sc, { reclaimPolicy: 'Delete', volumeBindingMode: 'Immediate' })
  },
  validate(sc, errors) {
    if (!sc.provisioner) errors.push(required('provisioner'))
    mustBeOneOf('reclaimPolicy', sc.reclaimPolicy, ['Delete', 'Retain'], errors)
    mustBeOneOf('volumeBindingMode', sc.volumeBindingMode, ['Immediate', 'WaitForFirstConsumer'], errors)
  },
  validateUpdate(sc, old, errors) {
    for (const key of ['parameters', 'provisioner', 'reclaimPolicy', 'volumeBindingMode'])
      if (!equalJson(sc[key], old[key])) errors.push(forbidden(key, `updates to ${key} are forbidden.`))
  },
}
