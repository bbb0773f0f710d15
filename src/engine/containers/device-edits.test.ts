import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { ConfigInput } from '../runtime/config.ts'
import { editedMounts, withEdits } from './device-edits.ts'

const input = (more: object = {}): ConfigInput =>
  ({
    process: { env: ['A=old', 'B=1'], user: { uid: 7, gid: 8, additionalGids: [9] } },
    devices: [{ path: '/dev/null', type: 'c', major: 9, minor: 9, fileMode: 0, uid: 0, gid: 0 }],
    deviceRules: [],
    ...more,
  }) as unknown as ConfigInput

test('variables, groups, devices and hooks are added, and win over what has their name', () => {
  const made = withEdits(input(), {
    env: ['A=new'],
    additionalGids: [0, 9, 10],
    deviceNodes: [
      { path: '/dev/null', permissions: 'r' },
      { path: '/dev/x', hostPath: '/dev/zero', uid: 1, gid: 2, fileMode: 0o600 },
    ],
    hooks: [{ hookName: 'poststop', path: '/x', timeout: 1 }],
    intelRdt: { closID: 'x' },
  })
  assert.deepEqual(made.process.env, ['A=new', 'B=1'])
  assert.deepEqual(made.process.user.additionalGids, [9, 10])
  assert.deepEqual(made.devices, [
    { path: '/dev/null', type: 'c', major: 1, minor: 3, fileMode: 0o666, uid: 7, gid: 8 },
    { path: '/dev/x', type: 'c', major: 1, minor: 5, fileMode: 0o600, uid: 1, gid: 2 },
  ])
  assert.deepEqual(
    made.deviceRules.map(({ major, minor, access }) => `${major}:${minor} ${access}`),
    ['1:3 r', '1:5 rwm'],
  )
  assert.deepEqual(made.hooks, { poststop: [{ path: '/x', timeout: 1 }] })
  assert.deepEqual(made.intelRdt, { closID: 'x' })
})

test('a node whose number is said needs none on the host; a pipe has no number', () => {
  const made = withEdits(input({ devices: [] }), {
    deviceNodes: [
      { path: '/dev/a', type: 'b', major: 250, minor: 1, permissions: 'none' },
      { path: '/dev/b', type: 'p' },
    ],
  })
  assert.deepEqual(
    made.devices.map(({ type, major, minor }) => `${type} ${major}:${minor}`),
    ['b 250:1', 'p 0:0'],
  )
  assert.deepEqual(made.deviceRules, [{ allow: true, type: 'b', major: 250, minor: 1, access: '' }])
})

test('what is not on the host, or of another type, is refused', () => {
  const says = (node: { path: string; type?: 'b' }, message: RegExp): void => {
    assert.throws(() => withEdits(input(), { deviceNodes: [node] }), { message })
  }
  says({ path: '/dev/no-such' }, /failed to stat CDI host device "\/dev\/no-such": no such file or directory/)
  says({ path: '/etc/passwd' }, /not a device node/)
  says({ path: '/dev/null', type: 'b' }, /host type mismatch \(b, c\)/)
  assert.throws(() => editedMounts({ mounts: [{ hostPath: '/no-such', containerPath: '/x' }] }, [], (m) => m), {
    message: /failed to stat CDI host path/,
  })
})

test('a mount takes the place of another one', () => {
  const other = { destination: '/x/', type: 'tmpfs', source: 'tmpfs', options: [] }
  const mounts = editedMounts(
    {
      mounts: [
        { hostPath: '/etc', containerPath: '/x', options: ['ro'] },
        { hostPath: 'proc', containerPath: '/p', type: 'proc' },
      ],
    },
    [other, { ...other, destination: '/y' }],
    (mount) => mount,
  )
  assert.deepEqual(mounts, [
    { ...other, destination: '/y' },
    { destination: '/x', type: 'bind', source: '/etc', options: ['rbind', 'ro'] },
    { destination: '/p', type: 'proc', source: 'proc', options: [] },
  ])
})
