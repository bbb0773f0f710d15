/** A whole cluster front for client tests: API server in memory, door with TLS, a fake node, a kubeconfig. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createApiServer } from '../../src/cluster/api/index.ts'
import type { ApiServer } from '../../src/cluster/types.ts'
import { adminKubeconfig, type Certificates, createKubeDoor, loadCertificates } from '../../src/doors/kube/index.ts'
import { systemClock } from '../../src/lib/clock.ts'
import { openDatabase } from '../../src/lib/database.ts'
import { createLog } from '../../src/lib/log.ts'
import type { ObjectClient } from '../../src/spec/kube/client.ts'
import { type KubeObject, Pod } from '../../src/spec/kube/kinds.ts'
import { createFakeNode, type FakeNode } from './fake-node.ts'

export interface KubeSetup {
  directory: string
  kubeconfig: string
  socket: string
  url: string
  certificates: Certificates
  api: ApiServer
  client: ObjectClient
  node: FakeNode
  /** Makes a pod that is scheduled and whose containers run. */
  runningPod(name: string, containers?: string[], annotations?: Record<string, string>): Promise<void>
  close(): Promise<void>
}

const admin = { name: 'system:admin', groups: ['system:masters', 'system:authenticated'] }

const running = (name: string) => ({
  name,
  ready: true,
  restartCount: 0,
  image: 'img',
  imageID: '',
  started: true,
  state: { running: { startedAt: new Date().toISOString() } },
})

export const kubeSetup = async (): Promise<KubeSetup> => {
  const directory = mkdtempSync(join(tmpdir(), 'slipway-kube-'))
  const log = createLog((line) => process.stderr.write(line), 'warn')
  const certificates = loadCertificates({ directory: join(directory, 'pki'), clock: systemClock })
  const api = createApiServer({
    db: openDatabase(':memory:'),
    clock: systemClock,
    log,
    options: { serviceCidr: '10.96.0.0/16', clusterDnsAddress: '10.96.0.10', nodeName: 'node', ca: certificates.ca },
  })
  const node = createFakeNode()
  api.connectNodes(node)
  const door = createKubeDoor({ api, log, clock: systemClock, tls: certificates })
  const socket = join(directory, 'kube.sock')
  const { url } = await door.listen({ tcp: { host: '127.0.0.1', port: 0 }, socket })
  const kubeconfig = join(directory, 'config')
  writeFileSync(kubeconfig, adminKubeconfig(url!, certificates), { mode: 0o600 })
  const client = api.client(admin)
  return {
    directory,
    kubeconfig,
    socket,
    url: url!,
    certificates,
    api,
    client,
    node,
    runningPod: async (name, containers = ['app'], annotations = {}) => {
      const pod = await client.create(Pod, {
        apiVersion: 'v1',
        kind: 'Pod',
        metadata: { name, namespace: 'default', labels: { app: name }, annotations },
        spec: { nodeName: 'node', containers: containers.map((c) => ({ name: c, image: 'img' })) },
      } as unknown as KubeObject as never)
      await client.updateStatus(Pod, {
        ...(pod as object),
        status: {
          phase: 'Running',
          podIP: '127.0.0.1',
          conditions: [{ type: 'Ready', status: 'True' }],
          containerStatuses: containers.map(running),
        },
      } as never)
    },
    close: async () => {
      await door.close()
      await api.close()
      rmSync(directory, { recursive: true, force: true })
    },
  }
}
