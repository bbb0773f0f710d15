import assert from 'node:assert/strict'
import { test } from 'node:test'
import type {
  PersistentVolume,
  PersistentVolumeClaim,
  PersistentVolumeClaimSpec,
  PersistentVolumeSpec,
  StorageClass,
} from '../../../spec/kube/generated/types.ts'
import { bindCompleted, defaultClassKey, planClaim, provisioner, selectedNode } from './claim-plan.ts'

const claim = (
  spec: Partial<PersistentVolumeClaimSpec> = {},
  annotations: Record<string, string> = {},
): PersistentVolumeClaim => ({
  metadata: { name: 'c', namespace: 'default', uid: 'c-uid', annotations },
  spec: {
    accessModes: ['ReadWriteOnce'],
    resources: { requests: { storage: '1Gi' } },
    storageClassName: 'local',
    ...spec,
  },
})
const volume = (name: string, storage: string, spec: Partial<PersistentVolumeSpec> = {}): PersistentVolume => ({
  metadata: { name },
  spec: { accessModes: ['ReadWriteOnce'], capacity: { storage }, storageClassName: 'local', ...spec },
})
const local: StorageClass = {
  metadata: { name: 'local', annotations: { [defaultClassKey]: 'true' } },
  provisioner,
  volumeBindingMode: 'WaitForFirstConsumer',
}
const plan = (c: PersistentVolumeClaim, volumes: PersistentVolume[] = [], classes = [local]): string => {
  const step = planClaim(c, { volumes, classes, node: () => undefined })
  if (step.to === 'bind' || step.to === 'bound') return `${step.to} ${step.volume.metadata.name}`
  if (step.to === 'wait' || step.to === 'lost') return `${step.to} ${step.reason}`
  return step.to === 'class' ? `class ${step.name}` : step.to
}
const chosen = { [selectedNode]: 'node-1' }

test('waits for its first consumer, then takes the smallest that fits, else a new one', () => {
  assert.equal(plan(claim()), 'wait WaitForFirstConsumer')
  assert.equal(plan(claim({}, chosen)), 'provision')
  assert.equal(
    plan(claim({}, chosen), [volume('big', '5Gi'), volume('fits', '2Gi'), volume('small', '1Mi')]),
    'bind fits',
  )
  assert.equal(plan(claim({}, chosen), [volume('wrong', '2Gi', { accessModes: ['ReadOnlyMany'] })]), 'provision')
})

test('a promised volume comes first, wherever the pod is', () => {
  const claimRef = { namespace: 'default', name: 'c' }
  assert.equal(plan(claim(), [volume('other', '1Gi'), volume('mine', '9Gi', { claimRef })]), 'bind mine')
  assert.equal(
    plan(claim({ volumeName: 'mine' }), [volume('mine', '9Gi', { claimRef: { ...claimRef, uid: 'someone' } })]),
    'wait FailedBinding',
  )
})

test('classes: the default fills in, an unknown one fails, none needs a volume by hand', () => {
  assert.equal(plan(claim({ storageClassName: undefined })), 'class local')
  assert.equal(plan(claim({ storageClassName: 'gold' })), 'wait ProvisioningFailed')
  assert.equal(plan(claim({ storageClassName: '' })), 'wait FailedBinding')
  assert.equal(
    plan(claim(), [], [{ ...local, provisioner: 'example.com/disk', volumeBindingMode: 'Immediate' }]),
    'wait ExternalProvisioning',
  )
  assert.equal(plan(claim({ volumeMode: 'Block' }, chosen)), 'wait ProvisioningFailed')
})

test('a bound claim whose volume is gone is lost', () => {
  const bound = claim({ volumeName: 'v' }, { [bindCompleted]: 'yes' })
  assert.equal(plan(bound), 'lost ClaimLost')
  const claimRef = { namespace: 'default', name: 'c', uid: 'c-uid' }
  assert.equal(plan(bound, [volume('v', '1Gi', { claimRef })]), 'bound v')
  assert.equal(plan(bound, [volume('v', '1Gi', { claimRef: { ...claimRef, uid: 'x' } })]), 'lost ClaimMisbound')
})
