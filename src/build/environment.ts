/** What a request gives to RUN steps: network, secrets, agents. */
import { statSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import type { NamedDevice } from '../engine/types.ts'
import { SlipwayError } from '../errors.ts'
import { deviceGrant, grantedDevices } from './devices.ts'
import type { DeviceWish } from './dockerfile/devices.ts'
import { proxyArgs } from './dockerfile/instructions/arg.ts'
import type { StepEnvironment } from './solver/graph.ts'
import type { BuildRequest } from './types.ts'

/** `devices`: there are on this machine, once that is known. */
export const stepEnvironment = (
  request: BuildRequest,
  devices: () => readonly NamedDevice[] | undefined,
): StepEnvironment => {
  const { args, network = 'default', extraHosts = [], shmSize, ulimits = [], privileged = false } = request
  // Tools read either spelling, so both are set from whichever was given.
  const proxies = new Map<string, string>()
  for (const [key, value] of Object.entries(args)) {
    if (!proxyArgs.includes(key)) continue
    proxies.set(key.toUpperCase(), value)
    proxies.set(key.toLowerCase(), value)
  }
  return {
    network,
    hosts: extraHosts,
    proxies: [...proxies].map(([key, value]) => `${key}=${value}`),
    shmSize,
    ulimits,
    resources: request.resources ?? {},
    hostname: request.hostname || args.BUILDKIT_SANDBOX_HOSTNAME || undefined,
    cgroupParent: request.cgroupParent || undefined,
    cacheNamespace: args.BUILDKIT_CACHE_MOUNT_NS ?? '',
    renewedCaches: new Set(),
    automounts: request.automounts ?? [],
    devices: (wishes) => devicesOf(request, wishes, devices()),
    privileged,
    hostNetwork: request.hostNetwork ?? false,
    secret: (id) => secretOf(request, id),
    ssh: (id) => agentOf(request, id),
    sourceRules: request.sourceRules ?? [],
  }
}

/** Nothing is looked up for one that is only described. */
const devicesOf = (
  { deviceGrants = [] }: BuildRequest,
  wishes: readonly DeviceWish[],
  known: readonly NamedDevice[] | undefined,
): string[] => (known ? grantedDevices(wishes, known, deviceGrant(deviceGrants)) : [])

/** 'default' is the agent of this process; 'id=path' names a socket. */
const agentOf = async ({ ssh, findAgent }: BuildRequest, id: string): Promise<string | undefined> => {
  const entry = ssh?.find((each) => each.split('=', 1)[0] === id)
  if (entry === undefined) return await findAgent?.(id)
  const path = entry.includes('=') ? entry.slice(entry.indexOf('=') + 1) : process.env.SSH_AUTH_SOCK
  const stat = path === undefined || path === '' ? undefined : statSync(path, { throwIfNoEntry: false })
  if (stat?.isSocket()) return path
  throw new SlipwayError('unsupported', `invalid ssh agent ${entry}: not a socket`, {
    hint: 'Give the path of a running agent: --ssh default=$SSH_AUTH_SOCK.',
  })
}

const secretOf = async ({ secrets, findSecret }: BuildRequest, id: string): Promise<Uint8Array | undefined> => {
  const secret = secrets?.[id]
  if (!secret) return await findSecret?.(id)
  if ('value' in secret) return secret.value
  if ('file' in secret) {
    try {
      return await readFile(secret.file)
    } catch (error) {
      throw new SlipwayError('not-found', `failed to read secret ${id}: ${(error as Error).message}`, {
        cause: error,
      })
    }
  }
  const value = process.env[secret.env]
  return value === undefined ? undefined : Buffer.from(value)
}
