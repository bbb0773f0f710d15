import assert from 'node:assert/strict'
import { test } from 'node:test'
import { asOf } from './container-version.ts'
import type { CreateBody } from './wire.ts'

const at = (minor: number, body: CreateBody) => asOf([1, minor], body)
const mounts = (minor: number, ...all: NonNullable<CreateBody['HostConfig']>['Mounts'] & {}) =>
  at(minor, { HostConfig: { Mounts: all } }).body.HostConfig?.Mounts
const networks = (minor: number, body: CreateBody) => {
  const { body: heard, warnings } = at(minor, body)
  return [heard.MacAddress, heard.NetworkingConfig?.EndpointsConfig, warnings.length]
}

test('what came with a later version is not heard, or refused', () => {
  const host = { AutoRemove: true, ConsoleSize: [1, 2], Annotations: { a: 'b' } } as never
  assert.deepEqual(at(24, { HostConfig: host }).body.HostConfig, {
    ...{ AutoRemove: false, IpcMode: 'shareable', ConsoleSize: [0, 0], Annotations: {} },
  })
  assert.deepEqual(at(43, { HostConfig: host }).body.HostConfig, host)
  const health = { Test: ['CMD', 'x'], StartInterval: 5 }
  assert.equal(at(43, { Healthcheck: health }).body.Healthcheck?.StartInterval, 0)
  assert.equal(at(44, { Healthcheck: health }).body.Healthcheck?.StartInterval, 5)
  const two = { NetworkingConfig: { EndpointsConfig: { a: {}, b: {} } } }
  assert.throws(() => at(43, two), /Container cannot be created with multiple network endpoints: a, b$/)
  assert.doesNotThrow(() => at(44, two))
})

test('mounts: options of a later version, and of another type', () => {
  const bind = { Type: 'bind', BindOptions: { NonRecursive: true, CreateMountpoint: true } }
  assert.deepEqual(mounts(39, bind), [{ Type: 'bind', BindOptions: { NonRecursive: false, CreateMountpoint: false } }])
  assert.deepEqual(mounts(41, bind), [{ Type: 'bind', BindOptions: { NonRecursive: true, CreateMountpoint: false } }])
  assert.deepEqual(mounts(42, bind), [bind])
  assert.deepEqual(mounts(41, { Type: 'bind', VolumeOptions: {}, TmpfsOptions: {} }), [{ Type: 'bind' }])
  assert.throws(
    () => mounts(42, { Type: 'bind', VolumeOptions: {} }),
    /VolumeOptions must not be specified on mount type "bind"/,
  )
  const forced = { Type: 'bind', BindOptions: { ReadOnlyForceRecursive: true } }
  assert.throws(() => mounts(43, forced), /BindOptions.ReadOnlyForceRecursive needs API v1.44 or newer/)
  const below = { Type: 'volume', VolumeOptions: { Subpath: 'x' } }
  assert.throws(() => mounts(44, below), /VolumeOptions.Subpath needs API v1.45 or newer/)
  assert.throws(() => mounts(47, { Type: 'image' }), /Mount type "Image" needs API v1.48 or newer/)
  assert.deepEqual(mounts(48, { Type: 'image' }), [{ Type: 'image' }])
})

test('the MAC address: of the container until 1.43, of an endpoint since', () => {
  const MacAddress = '02:00:00:00:00:01'
  const own = { NetworkingConfig: { EndpointsConfig: { bridge: { MacAddress: 'x', Aliases: ['a'] } } } }
  assert.deepEqual(networks(43, own), [undefined, { bridge: { Aliases: ['a'] } }, 0])
  assert.deepEqual(networks(43, { MacAddress }), [undefined, { bridge: { MacAddress } }, 0])
  assert.deepEqual(networks(44, { MacAddress, HostConfig: { NetworkMode: 'n' } }), [
    undefined,
    { n: { MacAddress } },
    1,
  ])
  assert.throws(() => at(43, { MacAddress, HostConfig: { NetworkMode: 'host' } }), /mac-address and the network mode/)
  assert.throws(() => at(44, { MacAddress, ...own }), /must match the endpoint-specific MAC address/)
  const other = { NetworkingConfig: { EndpointsConfig: { n: {} } } }
  assert.throws(() => at(44, { MacAddress, ...other }), /NetworkMode must match the identity of a network/)
})
