/** Device requests of docker's API as names of devices (moby daemon/devices.go, cdi.go). */
import { SlipwayError } from '../../errors.ts'
import { splitDevice } from '../../spec/cdi/index.ts'
import type { DeviceRequest } from '../types.ts'

const gpus = 'nvidia.com/gpu'

const noDriver = ({ driver, capabilities }: DeviceRequest): SlipwayError =>
  new SlipwayError(
    'bad-request',
    `could not select device driver "${driver}" with capabilities: [${capabilities.map((set) => `[${set.join(' ')}]`).join(' ')}]`,
    { hint: `GPUs are those that specifications of devices name as ${gpus}=…: see docs/docker.md.` },
  )

/** `--gpus` without a runtime of the vendor's: the devices its specification names. */
const gpuNames = ({ count, ids }: DeviceRequest): string[] => {
  if (ids.length > 0) return ids.map((id) => `${gpus}=${id}`)
  return count < 0 ? [`${gpus}=all`] : Array.from({ length: count }, (_, i) => `${gpus}=${i}`)
}

const isGpu = ({ driver, capabilities }: DeviceRequest): boolean =>
  (driver === '' || driver === 'nvidia') && capabilities.some((set) => set.includes('gpu'))

/** `known`: the names there are. `enabled`: is any directory looked at? */
export const requestedNames = (
  requests: readonly DeviceRequest[],
  known: readonly string[],
  enabled: boolean,
): string[] =>
  requests.flatMap((request) => {
    if (request.driver === 'cdi' && enabled) {
      if (request.count !== 0) throw new SlipwayError('bad-request', 'unexpected count in CDI device request')
      if (Object.keys(request.options).length > 0)
        throw new SlipwayError('bad-request', 'unexpected options in CDI device request')
      return request.ids
    }
    if (isGpu(request) && known.some((name) => splitDevice(name)[0] === gpus)) return gpuNames(request)
    throw noDriver(request)
  })
