import { image } from './bench.ts'
import type { Instance } from './instance.ts'
import { eventually, must, run } from './program.ts'
import { type Benchmark, inTurn, type Result } from './report.ts'

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
          command: [httpd, -f, -p, "8080", -h, /www]
          readinessProbe: { tcpSocket: { port: 8080 }, periodSeconds: 1 }
---
apiVersion: v1
kind: Service
metadata: { name: web }
spec: { selector: { app: web }, ports: [{ port: 80, targetPort: 8080 }] }
`

/** busybox closes each connection, so every request is a new one through the load balancer: the hardest case for it. */
const requestsPerSecond = async (bench: { env: Instance['env'] }, address: string): Promise<number> => {
  const { stdout } = await must(['wrk', '-t1', '-c16', '-d3s', `http://${address}/index.html`], bench.env)
  const failed = /Non-2xx.*: (\d+)/.exec(stdout)
  const rate = /Requests\/sec:\s+([\d.]+)/.exec(stdout)
  if (!rate || failed) throw new Error(`wrk against ${address}:\n${stdout}`)
  return Number(rate[1])
}

export const serviceThroughput: Benchmark = {
  name: 'service',
  about: 'wrk through the cluster address of a Service with 1 and 3 endpoints, and straight at a pod',
  async run(bench) {
    const { instance } = await bench.ours()
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
        5,
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
