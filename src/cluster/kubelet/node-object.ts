/** The Node object of this machine and its heartbeat lease. */
import { readFileSync } from 'node:fs'
import { arch, release } from 'node:os'
import { isError, messageOf } from '../../errors.ts'
import { formatBytes } from '../../lib/quantity.ts'
import { timestamp } from '../../lib/timestamp.ts'
import type * as k from '../../spec/kube/generated/types.ts'
import * as kinds from '../../spec/kube/kinds.ts'
import { hostCapacity } from './host.ts'
import type { KubeletDeps } from './types.ts'

const leaseSeconds = 40
const renewMs = 10_000
/** The lease says that the node lives; the whole status is written this seldom while nothing changes (the kubelet's figure). */
const statusMs = 300_000
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
      .map((line) => line.split('=') as [string, string]),
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
    conditions: conditionsOf(old?.conditions ?? [], timestamp(deps.clock.now())),
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
  await client.patch(kinds.Node, { name: node.name }, { type: 'merge', body: { metadata: { labels } } })
  await writeStatus(deps)
  await renew(deps)
  const beat = async (): Promise<void> => {
    let told = deps.clock.now()
    while (!signal.aborted) {
      await deps.clock.sleep(renewMs, signal)
      try {
        await renew(deps)
        if (deps.clock.now() - told < statusMs) continue
        told = deps.clock.now()
        await writeStatus(deps)
      } catch (error) {
        if (!signal.aborted) deps.log.warn('telling that the node is alive failed', { error: messageOf(error) })
      }
    }
  }
  beat().catch(() => {}) // only the signal ends it
}

const writeStatus = async (deps: Deps): Promise<void> => {
  const key = { name: deps.node.name }
  const status = nodeStatus(deps, (await deps.client.get(kinds.Node, key))?.status)
  await deps.client.patch(kinds.Node, key, { type: 'strategic', body: { status } }, { subresource: 'status' })
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
