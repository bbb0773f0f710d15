import { messageOf, SlipwayError } from '../errors.ts'
import { splitDevice } from '../spec/cdi/index.ts'
import { deviceGrant } from './devices.ts'
import type { BuildRequest } from './types.ts'

const all = ['network.host', 'security.insecure', 'device']

/** What entitlements give a build (BuildKit util/entitlements). Throws 'bad-request' for one that is unknown or malformed. */
export const entitled = (
  entitlements: readonly string[],
): Required<Pick<BuildRequest, 'privileged' | 'hostNetwork' | 'deviceGrants'>> => {
  const stranger = entitlements.find((each) => !all.includes(each.startsWith('device=') ? splitDevice(each)[0] : each))
  if (stranger !== undefined) throw new SlipwayError('bad-request', `unknown entitlement ${stranger}`)
  try {
    deviceGrant(entitlements)
  } catch (error) {
    throw new SlipwayError('bad-request', messageOf(error), { cause: error })
  }
  return {
    privileged: entitlements.includes('security.insecure'),
    hostNetwork: entitlements.includes('network.host'),
    deviceGrants: entitlements,
  }
}
