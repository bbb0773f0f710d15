import assert from 'node:assert/strict'
import { test } from 'node:test'
import { lowerWeb } from './fixture.ts'

const request = { driver: '', count: 0, ids: [], capabilities: [], options: {} }

test('devices by paths, by names of specifications, and GPUs go to the engine as docker compose would ask for them', async () => {
  const lowered = await lowerWeb(`devices: ["/dev/fuse:/dev/f:r", "vendor.com/class=one"]
gpus: all
deploy:
  resources:
    reservations:
      devices:
        - {capabilities: [gpu, utility], count: 2}
        - {driver: nvidia, device_ids: ["0"], capabilities: [gpu]}`)
  const { devices, deviceRequests } = lowered.runtime('web').containers.web!
  assert.deepEqual(devices, [{ hostPath: '/dev/fuse', containerPath: '/dev/f', permissions: 'r' }])
  assert.deepEqual(deviceRequests, [
    { ...request, count: -1, capabilities: [['gpu']] },
    { ...request, count: 2, capabilities: [['gpu', 'utility']] },
    { ...request, driver: 'nvidia', ids: ['0'], capabilities: [['gpu']] },
    { ...request, driver: 'cdi', ids: ['vendor.com/class=one'] },
  ])
  assert.deepEqual(lowered.said, [])
})

test('elsewhere GPUs are resources, by their number', async () => {
  const yaml = 'gpus: [{driver: amd, count: 2}, {driver: amd, device_ids: ["5"]}]'
  const lowered = await lowerWeb(yaml, { destination: 'cluster' })
  assert.deepEqual(lowered.container('web').resources!.limits, { 'amd.com/gpu': '3' })
  assert.match(
    lowered.said.join('\n'),
    /warn services\.web\.gpus\.1: Kubernetes hands out devices by number, not by id/,
  )
})
