/** Devices of a service: nodes of the machine, those that specifications on it name, and GPUs. */
import { isQualifiedDevice } from '../../spec/cdi/index.ts'
import type { DeviceRequest, Service } from '../../spec/compose/project.ts'
import type { ContainerRuntime } from '../../spec/kube/runtime-annotation.ts'
import type { Lowering } from './context.ts'

/** With the path of each in the file. */
const requestsOf = (service: Service): [string, DeviceRequest][] => [
  ...(service.gpus === 'all'
    ? [['gpus', { count: 'all', capabilities: ['gpu'] }] as [string, DeviceRequest]]
    : (service.gpus ?? []).map((r, i): [string, DeviceRequest] => [`gpus.${i}`, r])),
  ...(service.deploy?.resources?.reservations?.devices ?? []).map((r, i): [string, DeviceRequest] => [
    `deploy.resources.reservations.devices.${i}`,
    r,
  ]),
]

/** A cluster's device plugins hand out devices by number. */
export const gpuLimits = (service: Service, lowering: Lowering): Record<string, string> => {
  if (lowering.local) return {}
  let count = 0
  let vendor = 'nvidia.com/gpu'
  for (const [path, request] of requestsOf(service)) {
    if (request.driver && !['nvidia', 'cdi'].includes(request.driver)) vendor = `${request.driver}.com/gpu`
    if (request.device_ids)
      lowering.warn(
        service.name,
        path,
        'Kubernetes hands out devices by number, not by id',
        'Use node labels to choose.',
      )
    if (request.count === 'all')
      lowering.warn(service.name, path, '"all" becomes one device', 'Say how many: count: N.')
    count += request.device_ids?.length ?? (typeof request.count === 'number' ? request.count : 1)
  }
  return count ? { [vendor]: String(count) } : {}
}

/** As docker compose asks the engine for them: all where no number is said. */
const requestOf = ({ driver = '', count, device_ids: ids = [], capabilities = [], options = {} }: DeviceRequest) => ({
  driver,
  count: typeof count === 'number' ? count : ids.length > 0 && count === undefined ? 0 : -1,
  ids,
  capabilities: capabilities.length > 0 ? [capabilities] : [],
  options,
})

export const deviceMaps = (service: Service, lowering: Lowering): ContainerRuntime => {
  const all = service.devices ?? []
  if (all.length > 0)
    lowering.onlyHere(
      service.name,
      'devices',
      'devices of a node are handed out by device plugins',
      "Use a device plugin's resource.",
      'refuse',
    )
  const named = all.map(({ source }) => source).filter(isQualifiedDevice)
  const paths = all.filter(({ source }) => !named.includes(source))
  const requests = lowering.local ? requestsOf(service).map(([, request]) => requestOf(request)) : []
  if (named.length > 0) requests.push({ driver: 'cdi', count: 0, ids: named, capabilities: [], options: {} })
  return {
    ...(paths.length > 0 && {
      devices: paths.map((d) => ({ hostPath: d.source, containerPath: d.target, permissions: d.permissions })),
    }),
    ...(requests.length > 0 && { deviceRequests: requests }),
  }
}
