import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isQualifiedDevice, joinEdits, readSpecification } from './index.ts'

const device = { name: 'one', containerEdits: { env: ['A=1'] } }
const whole = { cdiVersion: '0.6.0', kind: 'vendor.com/class', devices: [device] }

test('a specification is taken with all its fields, scalars as texts where texts are meant', () => {
  const edits = {
    env: ['FOO=bar'],
    deviceNodes: [{ path: '/dev/x', hostPath: '/dev/null', type: 'c', major: 1, minor: 3, permissions: 'rw' }],
    hooks: [{ hookName: 'createContainer', path: '/bin/true', args: ['true', 1], env: ['A=b'], timeout: 3 }],
    mounts: [{ hostPath: '/a', containerPath: '/b', options: ['ro'], type: 'bind' }],
    intelRdt: { closID: 'x', enableCMT: true },
    additionalGids: [5],
  }
  const read = readSpecification({
    ...whole,
    annotations: { free: true },
    devices: [device, { name: '0', containerEdits: edits }],
    containerEdits: { env: null },
  })
  assert.deepEqual(read.annotations, { free: 'true' })
  assert.deepEqual(read.devices[1]!.containerEdits.hooks![0]!.args, ['true', '1'])
  assert.deepEqual(read.containerEdits, {})
})

test('what is wrong with one is said', () => {
  const says = (given: object, message: RegExp): void => {
    assert.throws(() => readSpecification({ ...whole, ...given }), { message })
  }
  says({ cdiVersion: '9.0.0' }, /invalid version "9.0.0"/)
  says({ kind: 'class' }, /invalid vendor\. empty name/)
  says({ kind: '1vendor/class' }, /invalid vendor\. "1vendor", should start with letter/)
  says({ kind: 'vendor.com/cl@ss' }, /invalid class\. invalid character '@' in name "cl@ss"/)
  says({ devices: [] }, /no devices/)
  says({ devices: [device, device] }, /multiple device "one"/)
  says({ devices: [{ ...device, name: 'a b' }] }, /invalid character ' '/)
  says({ devices: [{ name: 'a', containerEdits: {} }] }, /failed add device "a": invalid device, empty device edits/)
  says({ containerEdits: { env: ['=x'] } }, /invalid environment variable "=x"/)
  says({ containerEdits: { hooks: [{ hookName: 'later', path: '/x' }] } }, /invalid hook name "later"/)
  says({ containerEdits: { mounts: [{ hostPath: '/x' }] } }, /empty container path/)
  says({ containerEdits: { deviceNodes: [{ path: '/dev/x', permissions: 'rx' }] } }, /invalid permissions "rx"/)
  says({ more: 1 }, /unknown field "more"/)
  says({ devices: 'x' }, /cannot unmarshal string into field devices of type list/)
})

test('names of devices are not paths', () => {
  for (const name of ['vendor.com/class=name', 'a/b=0', 'nvidia.com/gpu=GPU-1:2'])
    assert.ok(isQualifiedDevice(name), name)
  for (const name of ['/dev/fuse', 'vendor.com/class', 'vendor.com/class=', 'class=x', 'v/c=-', '/dev/x=y:rw'])
    assert.ok(!isQualifiedDevice(name), name)
})

test('edits follow one another', () => {
  const all = joinEdits([{ env: ['A=1'] }, { env: ['B=2'], additionalGids: [1] }])
  assert.deepEqual([all.env, all.additionalGids], [['A=1', 'B=2'], [1]])
})
