import assert from 'node:assert/strict'
import { test } from 'node:test'
import { deviceGrant, grantedDevices } from './devices.ts'
import { deviceOf } from './dockerfile/devices.ts'
import { entitled } from './entitlements.ts'
import { opsOf, plan } from './solver/plan.fixture.ts'
import type { RunOp } from './ops.ts'

const free = { 'org.mobyproject.buildkit.device.autoallow': 'true' }
const known = [
  { name: 'vendor.com/class=foo', annotations: {} },
  { name: 'vendor.com/free=bar', annotations: free },
  { name: 'vendor.com/free=baz', annotations: { ...free, 'org.mobyproject.buildkit.device.class': 'group' } },
]
const grant = (text: string, ...entitlements: string[]): string[] =>
  grantedDevices([deviceOf(text)], known, deviceGrant(entitlements))

test('RUN --device is read as BuildKit reads it', () => {
  assert.deepEqual(deviceOf('vendor.com/class=foo'), { name: 'vendor.com/class=foo', required: false })
  assert.deepEqual(deviceOf('name=vendor.com/class=foo,required'), { name: 'vendor.com/class=foo', required: true })
  assert.deepEqual(deviceOf('vendor.com/class,Required=false'), { name: 'vendor.com/class', required: false })
  const says = (text: string, message: string): void => assert.throws(() => deviceOf(text), { message }, text)
  says('a/b=c,name=d', 'device name already set to a/b=c')
  says('a/b=c,x', "invalid field 'x' must be a key=value pair")
  says('a/b=c,requird=1', "unexpected key 'requird' in 'requird=1' (did you mean required?)")
  says('a/b=c,required=2', 'invalid value for required: 2')
})

test('a device by its name, the first of a kind, all of it, and those of a class', () => {
  assert.deepEqual(grant('vendor.com/class=foo', 'device'), ['vendor.com/class=foo'])
  assert.deepEqual(grant('vendor.com/free', 'device'), ['vendor.com/free=bar'])
  assert.deepEqual(grant('vendor.com/free=*', 'device'), ['vendor.com/free=bar', 'vendor.com/free=baz'])
  assert.deepEqual(grant('vendor.com/free=group', 'device'), ['vendor.com/free=baz'])
})

test('one that is missing is left out, unless it is required', () => {
  assert.deepEqual(grant('vendor.com/class=none', 'device'), [])
  assert.throws(() => grant('vendor.com/class=none,required', 'device'), {
    message: 'required device "vendor.com/class=none" is not registered',
  })
  assert.throws(() => grant('class=none', 'device'), { message: 'invalid device "class=none"' })
})

test('a device has to be allowed, by its specification or for the build', () => {
  const refused = { message: 'device vendor.com/class=foo is requested by the build but not allowed' }
  assert.throws(() => grant('vendor.com/class=foo'), refused)
  assert.throws(() => grant('vendor.com/class=*', 'device=vendor.com/free=bar'), refused)
  assert.deepEqual(grant('vendor.com/class=foo', 'device=vendor.com/class=foo'), ['vendor.com/class=foo'])
  assert.deepEqual(grant('vendor.com/class', 'device=vendor.com/class'), ['vendor.com/class=foo'])
  assert.deepEqual(grant('vendor.com/free=bar'), ['vendor.com/free=bar'])
  assert.deepEqual(grant('mine', 'device=vendor.com/class=foo,alias=mine'), ['vendor.com/class=foo'])
  assert.throws(() => entitled(['device=x/y=z,other=1']), { message: 'unknown device config key "other"' })
  assert.throws(() => entitled(['everything']), { message: 'unknown entitlement everything' })
})

test('the step has the devices that were found; one that may not have them says where', async () => {
  const text = 'FROM scratch\nRUN --device=vendor.com/class=foo --device=vendor.com/free cmd'
  const [step] = opsOf((await plan(text, { devices: known, allow: ['device'] })).rootfs)
  assert.deepEqual((step!.op as RunOp).devices, ['vendor.com/class=foo', 'vendor.com/free=bar'])
  await assert.rejects(plan(text, { devices: known }), { message: /foo is requested by the build but not allowed/ })
})
