import { SlipwayError } from '../../errors.ts'
import { type CdiEdits, joinEdits } from '../../spec/cdi/index.ts'
import type { DeviceRequest, Devices } from '../types.ts'
import { editsOf, readRegistry } from './registry.ts'
import { requestedNames } from './requests.ts'
import { specDirectories } from './settings.ts'

/** Devices, with what containers need of them. */
export interface DeviceStore extends Devices {
  /** What a container has to get for `names`. Throws 'bad-request' for one that no specification names. */
  edits(names: readonly string[]): Promise<CdiEdits>
  /** The same for requests of docker's API. */
  requested(requests: readonly DeviceRequest[]): Promise<CdiEdits>
}

export const createDevices = (stateDir: string): DeviceStore => {
  const failed = (why: string, hint?: string): SlipwayError =>
    new SlipwayError('bad-request', `CDI device injection failed: ${why}`, { hint })
  const collect = async (namesIn: (known: readonly string[]) => readonly string[]): Promise<CdiEdits> => {
    const registry = await readRegistry(specDirectories(stateDir))
    const { edits, missing } = editsOf(registry, namesIn([...registry.devices.keys()]))
    if (missing.length > 0) throw failed(`unresolvable CDI devices ${missing.join(', ')}`, registry.problems[0])
    const all = joinEdits(edits)
    if (all.netDevices?.length) throw failed('network devices of a specification are not supported')
    return all
  }
  return {
    directories: () => specDirectories(stateDir),
    async list() {
      const { devices, problems } = await readRegistry(specDirectories(stateDir))
      return { devices: [...devices.values()].map(({ name, annotations }) => ({ name, annotations })), problems }
    },
    edits: async (names) => (names.length === 0 ? {} : await collect(() => names)),
    requested: async (requests) =>
      requests.length === 0
        ? {}
        : await collect((known) => requestedNames(requests, known, specDirectories(stateDir).length > 0)),
  }
}
