import { type Env, eventually, must, run } from './program.ts'
import { type Benchmark, inTurn, type Result } from './report.ts'

const image = 'slipway-bench-node:1'
const server = "require('http').createServer((q, s) => s.end('ready')).listen(8080)"

/** This Node with the libraries it needs as an image: a server that keeps connections open. */
const importNode = async (env: Env, host: string): Promise<void> => {
  const script = `
    set -e
    libraries=$(ldd "$1" | grep -o '/[^ ]*')
    tar --create --dereference --absolute-names --transform 's,^/,,' "$1" $libraries | docker -H "$2" import - ${image}`
  await must(['sh', '-c', script, 'sh', process.execPath, host], env)
}

const manifests = `
apiVersion: apps/v1
kind: Deployment
metadata: { name: web }
spec:
  selector: { matchLabels: { app: web } }
  template:
    metadata: { labels: { app: web } }
    spec:
      containers:
        - name: web
          image: ${image}
          imagePullPolicy: Never
          command: ${JSON.stringify([process.execPath, '-e', server])}
          readinessProbe: { tcpSocket: { port: 8080 }, periodSeconds: 1 }
---
apiVersion: v1
kind: Service
metadata: { name: web }
spec: { selector: { app: web }, ports: [{ port: 80, targetPort: 8080 }] }
`

/**
 * Connections stay open. With one per request, tens of thousands of them between the same two addresses soon take ports
 * that still wait out their last connection, on both ways, and the figure is that of TCP's retransmissions.
 */
const requestsPerSecond = async (bench: { env: Env }, address: string): Promise<number> => {
  const { stdout } = await must(['wrk', '-t1', '-c16', '-d2s', `http://${address}/index.html`], bench.env)
  const failed = /Non-2xx.*: (\d+)/.exec(stdout)
  const rate = /Requests\/sec:\s+([\d.]+)/.exec(stdout)
  if (!rate || failed) throw new Error(`wrk against ${address}:\n${stdout}`)
  return Number(rate[1])
}

export const serviceThroughput: Benchmark = {
  name: 'service',
  about: 'wrk through the cluster address of a Service with 1 and 3 endpoints, and straight at a pod',
  async run(bench) {
    const { instance, host } = await bench.ours()
    await importNode(bench.env, host)
    const results: Result[] = []
    await instance.kubectl(manifests, 'apply', '-f', '-')
    for (const replicas of [1, 3]) {
      await instance.kubectl(undefined, 'scale', 'deployment', 'web', `--replicas=${replicas}`)
      await instance.kubectl(undefined, 'rollout', 'status', 'deployment', 'web', '--timeout=30s')
      const get = (...args: string[]) => instance.kubectl(undefined, 'get', ...args)
      const [pod] = (await get('pods', '-l', 'app=web', '-o', 'jsonpath={.items[*].status.podIP}')).stdout.split(' ')
      const service = (await get('service', 'web', '-o', 'jsonpath={.spec.clusterIP}')).stdout
      await eventually('the service answers', async () =>
        (await run(['wrk', '-t1', '-c1', '-d1s', `http://${service}/`], bench.env)).code === 0 ? true : undefined,
      )
      const [through, straight] = await inTurn(
        3,
        () => requestsPerSecond(bench, service),
        () => requestsPerSecond(bench, `${pod}:8080`),
      )
      results.push({
        name: `Service with ${replicas} endpoint${replicas > 1 ? 's' : ''} / one pod`,
        ours: through!,
        peer: straight!,
        unit: 'req/s',
        goal: { least: 0.9 },
      })
    }
    await instance.kubectl(undefined, 'delete', 'deployment,service', 'web', '--wait=true')
    return results
  },
}
