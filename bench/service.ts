import type { Bench } from './bench.ts'
import type { Instance } from './instance.ts'
import { importNode, nodeImage, nodeServer, requestsPerSecond } from './node-image.ts'
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
          image: ${nodeImage}
          imagePullPolicy: Never
          command: ${JSON.stringify(nodeServer)}
          readinessProbe: { tcpSocket: { port: 8080 }, periodSeconds: 1 }
---
apiVersion: v1
kind: Service
metadata: { name: web }
spec: { selector: { app: web }, ports: [{ port: 80, targetPort: 8080 }] }
`

/** A connection for each request, between the same addresses both ways: what TIME_WAIT and translation make of it. */
const fromPod = async (bench: Bench, instance: Instance, host: string): Promise<Result> => {
  const one = 'jsonpath={.items[-1:].status.containerStatuses[0].containerID} {.items[0].status.podIP}'
  const pods = await instance.kubectl(undefined, 'get', 'pods', '-l', 'app=web', '-o', one)
  const [id, pod] = pods.stdout.replace(/^\w+:\/\//, '').split(' ')
  const service = await instance.kubectl(undefined, 'get', 'service', 'web', '-o', 'jsonpath={.spec.clusterIP}')
  const pid = await must(['docker', '-H', host, 'inspect', '-f', '{{.State.Pid}}', id!], bench.env)
  const enter = ['nsenter', '-t', pid.stdout.trim(), '-n']
  const [through, straight] = await inTurn(
    3,
    () => requestsPerSecond(bench, service.stdout, { enter, close: true }),
    () => requestsPerSecond(bench, `${pod}:8080`, { enter, close: true }),
  )
  const goal = { least: 0.7 }
  return {
    name: 'Service / one pod, from a pod, a connection each',
    ours: through!,
    peer: straight!,
    unit: 'req/s',
    goal,
  }
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
    results.push(await fromPod(bench, instance, host))
    await instance.kubectl(undefined, 'delete', 'deployment,service', 'web', '--wait=true')
    return results
  },
}
