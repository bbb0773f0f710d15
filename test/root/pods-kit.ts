/** A cluster with one image (busybox, made from this machine's static one), driven by kubectl. */
import { chmodSync, cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { eventually, Site } from '../scenarios/kit.ts'

export { eventually } from '../scenarios/kit.ts'
export const image = 'busybox:local'

// biome-ignore lint/suspicious/noExplicitAny: what kubectl prints
export type Json = any

const applets =
  'sh ls cat echo sleep id env wget nc httpd grep stat touch mkdir rm ps top kill true false dd hostname ip mount df head tail test printf date seq awk sed tr sort wc chmod chown tar nslookup ping find xargs timeout readlink sysctl trap umount'

export class Cluster extends Site {
  static async start(name: string): Promise<Cluster> {
    const cluster = new Cluster(name)
    try {
      await cluster.#prepare()
      return cluster
    } catch (error) {
      await cluster.remove() // nobody else would
      throw error
    }
  }

  async #prepare(): Promise<void> {
    await this.slipway('daemon', 'start')
    const root = mkdtempSync(join(tmpdir(), 'busybox-'))
    try {
      chmodSync(root, 0o755) // it becomes the image's /
      for (const dir of ['bin', 'etc', 'tmp', 'root', 'data']) mkdirSync(join(root, dir))
      cpSync('/bin/busybox', join(root, 'bin/busybox'))
      for (const applet of applets.split(' ')) symlinkSync('busybox', join(root, 'bin', applet))
      writeFileSync(join(root, 'etc/passwd'), 'root:x:0:0:root:/root:/bin/sh\napp:x:1000:1000::/:/bin/sh\n')
      writeFileSync(join(root, 'data/from-image'), 'kept\n')
      await this.must(['sh', '-c', `tar -C ${root} -c . | docker import - ${image}`])
    } finally {
      rmSync(root, { recursive: true })
    }
    // The default account and its CA are made by controllers; a pod cannot be created before.
    await eventually('service account', () => this.kubectl('get', 'serviceaccount', 'default'))
  }

  /** `docs`: plain objects, sent as JSON. */
  async apply(...docs: object[]): Promise<void> {
    const list = { apiVersion: 'v1', kind: 'List', items: docs }
    await this.must(['kubectl', 'apply', '-f', '-'], { input: JSON.stringify(list) })
  }

  async get(kind: string, name: string, ...more: string[]): Promise<Json> {
    return JSON.parse(await this.kubectl('get', kind, name, '-o', 'json', ...more))
  }

  pod(name: string): Promise<Json> {
    return this.get('pod', name)
  }

  /** Until the pod is as `check` wants it; fails with the pod's last state. */
  async until(name: string, check: (pod: Json) => unknown, limitMs = 30_000): Promise<Json> {
    let last: Json
    try {
      return await eventually(
        name,
        async () => {
          last = await this.pod(name)
          return check(last) ? last : undefined
        },
        limitMs,
      )
    } catch (error) {
      throw new Error(`${(error as Error).message}: ${JSON.stringify(last?.status, null, 1)}`, { cause: error })
    }
  }

  ready(name: string): Promise<Json> {
    return this.until(name, (pod) => conditionOf(pod, 'Ready') === 'True')
  }

  /** Output of a shell command in the pod. */
  sh(pod: string, command: string, ...more: string[]): Promise<string> {
    return this.kubectl('exec', pod, ...more, '--', 'sh', '-c', command)
  }

  async events(name: string): Promise<string> {
    return this.kubectl('get', 'events', '--field-selector', `involvedObject.name=${name}`)
  }
}

export const conditionOf = (object: Json, type: string): string | undefined =>
  object.status?.conditions?.find((c: Json) => c.type === type)?.status

/** A pod of one container that runs a shell command; `more` is laid over the pod's spec, `own` over the container. */
export const shellPod = (name: string, command: string, more: Json = {}, own: Json = {}): object => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name, labels: { app: name } },
  spec: {
    terminationGracePeriodSeconds: 2,
    containers: [{ name: 'c', image, command: ['sh', '-c', command], ...own }],
    ...more,
  },
})

/** Ends at once when told to: a shell as process 1 ignores SIGTERM unless it says otherwise. */
export const idle = 'trap "exit 0" TERM; while true; do sleep 0.2; done'

export const stateOf = (pod: Json, container = 'c', list = 'containerStatuses'): Json =>
  pod.status?.[list]?.find((s: Json) => s.name === container)
