/** The Node object of this machine and its heartbeat lease. */
import { readFileSync } from 'node:fs'
import { arch, release } from 'node:os'
import { isError, messageOf } from '../../errors.ts'
import { formatBytes } from '../../lib/quantity.ts'
import type * as k from '../../spec/kube/generated/types.ts'
import * as kinds from '../../spec/kube/kinds.ts'
import { hostCapacity } from './host.ts'
import type { KubeletDeps } from './types.ts'

const leaseSeconds = 40
const renewMs = 10_000
export const kubeletVersion = 'v1.33.4+slipway'

type Deps = Pick<KubeletDeps, 'client' | 'node' | 'clock' | 'log' | 'sys' | 'stateDir'> & { kubeletPort?: number }

const read = (path: string): string => {
  try {
    return readFileSync(path, 'utf8').trim()
  } catch {
    return ''
  }
}

const machine = (): k.NodeSystemInfo => {
  const os = Object.fromEntries(
    read('/etc/os-release')
      .split('\n')
      .map((l) => l.split('=') as [string, string]),
  )
  return {
    architecture: arch() === 'x64' ? 'amd64' : arch(),
    bootID: read('/proc/sys/kernel/random/boot_id'),
    containerRuntimeVersion: 'slipway://0.1.0',
    kernelVersion: release(),
    kubeProxyVersion: kubeletVersion,
    kubeletVersion,
    machineID: read('/etc/machine-id'),
    operatingSystem: 'linux',
    osImage: (os.PRETTY_NAME ?? 'Linux').replace(/^"|"$/g, ''),
    systemUUID: read('/sys/class/dmi/id/product_uuid'),
  }
}

const time = (ms: number): string => new Date(ms).toISOString().replace(/\.\d{3}Z$/, 'Z')

const conditionsOf = (old: k.NodeCondition[], now: string): k.NodeCondition[] => {
  const wanted = [
    ['MemoryPressure', 'False', 'KubeletHasSufficientMemory', 'kubelet has sufficient memory available'],
    ['DiskPressure', 'False', 'KubeletHasNoDiskPressure', 'kubelet has no disk pressure'],
    ['PIDPressure', 'False', 'KubeletHasSufficientPID', 'kubelet has sufficient PID available'],
    ['Ready', 'True', 'KubeletReady', 'kubelet is posting ready status'],
  ] as const
  return wanted.map(([type, status, reason, message]) => {
    const before = old.find((c) => c.type === type)
    const lastTransitionTime = before?.status === status ? before.lastTransitionTime : now
    return { type, status, reason, message, lastHeartbeatTime: now, lastTransitionTime }
  })
}

const nodeStatus = (deps: Deps, old: k.NodeStatus | undefined): k.NodeStatus => {
  const { cpus, memoryBytes } = hostCapacity()
  const disk = deps.sys.files.statfs(deps.stateDir)
  const capacity = {
    cpu: String(cpus),
    memory: `${Math.floor(memoryBytes / 1024)}Ki`,
    pods: '250',
    'ephemeral-storage': formatBytes(Math.floor(disk.totalBytes / 1024) * 1024),
  }
  return {
    addresses: [
      { type: 'InternalIP', address: deps.node.address },
      { type: 'Hostname', address: deps.node.name },
    ],
    capacity,
    allocatable: capacity,
    conditions: conditionsOf(old?.conditions ?? [], time(deps.clock.now())),
    nodeInfo: machine(),
    ...(deps.kubeletPort ? { daemonEndpoints: { kubeletEndpoint: { Port: deps.kubeletPort } } } : {}),
  }
}

/** Writes the Node (labels that users set are kept) and keeps its lease fresh until `signal` is aborted. */
export const registerNode = async (deps: Deps, signal: AbortSignal): Promise<void> => {
  const { client, node } = deps
  const old = await client.get(kinds.Node, { name: node.name })
  const labels = {
    'kubernetes.io/hostname': node.name,
    'kubernetes.io/os': 'linux',
    'kubernetes.io/arch': machine().architecture,
    'beta.kubernetes.io/os': 'linux',
    'beta.kubernetes.io/arch': machine().architecture,
    'node-role.kubernetes.io/control-plane': '',
    ...old?.metadata.labels,
  }
  if (!old) await client.create(kinds.Node, { metadata: { name: node.name, labels }, spec: {} })
  const body = { metadata: { labels }, status: nodeStatus(deps, old?.status) }
  await client.patch(kinds.Node, { name: node.name }, { type: 'merge', body: { metadata: body.metadata } })
  await client.patch(
    kinds.Node,
    { name: node.name },
    { type: 'merge', body: { status: body.status } },
    { subresource: 'status' },
  )
  await renew(deps)
  const beat = async (): Promise<void> => {
    while (!signal.aborted) {
      await deps.clock.sleep(renewMs, signal)
      await renew(deps).catch((error) => deps.log.warn('renewing the node lease failed', { error: messageOf(error) }))
    }
  }
  beat().catch(() => {}) // only the signal ends it
}

const renew = async ({ client, node, clock }: Deps): Promise<void> => {
  const key = { namespace: 'kube-node-lease', name: node.name }
  const renewTime = new Date(clock.now()).toISOString().replace('Z', '000Z')
  const spec = { holderIdentity: node.name, leaseDurationSeconds: leaseSeconds, renewTime }
  try {
    await client.patch(kinds.Lease, key, { type: 'merge', body: { spec } })
  } catch (error) {
    if (!isError(error, 'not-found')) throw error
    await client.create(kinds.Lease, { metadata: key, spec })
  }
}
