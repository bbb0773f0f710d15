/** FeastFlow from nothing, and the operations its owners do: each scenario of docs/scenarios is proven here under load. */
import assert from 'node:assert/strict'
import { cpSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { eventually, freePort, repository, Site } from './kit.ts'
import { type LoadResult, startLoad } from './load.ts'

let site: Site
let file: string
let api: string
let web: string

const slipway = (...args: string[]): Promise<string> => site.slipway('-f', file, ...args)
const versionUrl = (): string => `${api}/api/version`
const hosts = (load: LoadResult): Set<string> =>
  new Set([...load.bodies.keys()].map((b) => (JSON.parse(b) as { host: string }).host))
const versions = (load: LoadResult): Set<string> =>
  new Set([...load.bodies.keys()].map((b) => (JSON.parse(b) as { version: string }).version))
const told = (load: LoadResult): string => `${load.ok} ok, failures: ${JSON.stringify(load.failures.slice(0, 5))}`

interface PodList {
  items: {
    metadata: { name: string; uid: string }
    status: { phase: string; containerStatuses?: { restartCount: number; ready: boolean; containerID: string }[] }
  }[]
}
const pods = async (service: string): Promise<PodList['items']> =>
  (
    JSON.parse(
      await site.kubectl('-n', 'feastflow', 'get', 'pods', '-l', `app.kubernetes.io/name=${service}`, '-o', 'json'),
    ) as PodList
  ).items

const replicas = async (): Promise<number> =>
  Number(await site.kubectl('-n', 'feastflow', 'get', 'deployment', 'backend', '-o', 'jsonpath={.spec.replicas}'))

const pidOf = async (pod: PodList['items'][number]): Promise<number> => {
  const id = pod.status.containerStatuses![0]!.containerID.replace('slipway://', '')
  return Number((await site.must(['docker', 'inspect', '--format', '{{.State.Pid}}', id])).trim())
}

/** The moment (ms since the epoch) at which a killed process has let go of its connections: until then the kernel accepts in its name. */
const whenGone = async (pid: number): Promise<number> => {
  // The first thread is a zombie while others may still hold the listening socket.
  const alive = (): boolean => {
    try {
      const zombie = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.[0] === 'Z'
      return !zombie || readdirSync(`/proc/${pid}/task`).length > 1
    } catch {
      return false
    }
  }
  while (alive()) await new Promise((go) => setImmediate(go))
  return Date.now()
}

const placeOrder = async (): Promise<string> => {
  const restaurants = (await (await fetch(`${web}/api/restaurants`)).json()) as { id: number }[]
  const menu = (await (await fetch(`${web}/api/restaurants/${restaurants[0]!.id}/menu`)).json()) as
    | { id: number }[]
    | { items: { id: number }[] }
  const items = Array.isArray(menu) ? menu : menu.items
  const answer = await fetch(`${web}/api/orders`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({
      restaurantId: restaurants[0]!.id,
      customer: 'Ada',
      address: '1 Dock Road',
      items: [{ menuItemId: items[0]!.id, quantity: 2 }],
    }),
  })
  const text = await answer.text()
  assert.equal(answer.status, 201, text)
  return String((JSON.parse(text) as { id: number | string }).id)
}
const orderExists = async (id: string): Promise<boolean> => (await fetch(`${web}/api/orders/${id}`)).status === 200

describe('FeastFlow', { concurrency: false }, () => {
  before(async () => {
    const [backend, frontend] = [await freePort(), await freePort()]
    site = new Site('feastflow', { BACKEND_PORT: String(backend), FRONTEND_PORT: String(frontend) })
    cpSync(join(repository, 'examples/feastflow'), join(site.home, 'app'), { recursive: true })
    file = join(site.home, 'app/compose.yaml')
    api = `http://127.0.0.1:${backend}`
    web = `http://127.0.0.1:${frontend}`
    await slipway('up', '-d')
  })
  after(() => site.remove())

  test('is up: three tiers, a page, an order in the database', async () => {
    assert.match(await (await fetch(web)).text(), /FeastFlow/)
    assert.equal((await pods('backend')).length, 2)
    assert.equal((await pods('frontend')).length, 3)
    assert.ok(await orderExists(await placeOrder()))
  })

  test('1. a killed backend is replaced by itself, and no later request fails', async () => {
    const load = startLoad({ url: versionUrl(), clients: 6, pauseMs: 2, keepAlive: false, limitMs: 60_000 })
    await new Promise((go) => setTimeout(go, 500))
    const [victim] = await pods('backend')
    const pid = await pidOf(victim!)
    process.kill(pid, 'SIGKILL')
    const goneAt = await whenGone(pid)
    await eventually('the backend is restarted and ready', async () => {
      const now = (await pods('backend')).find((p) => p.metadata.uid === victim!.metadata.uid)
      return now?.status.containerStatuses?.[0]?.restartCount === 1 && now.status.containerStatuses[0].ready
    })
    await new Promise((go) => setTimeout(go, 1000))
    const result = await load.stop()
    assert.ok(result.ok > 200, told(result))
    assert.deepEqual(
      result.failures.filter((f) => f.startedAt > goneAt),
      [],
      told(result),
    )
    assert.ok(result.failures.length <= 12, `only what was in flight may fail: ${told(result)}`)
  })

  test('2. scale: five replicas all get traffic', async () => {
    await slipway('scale', 'backend=5')
    const load = startLoad({ url: versionUrl(), clients: 4, pauseMs: 2, keepAlive: false, limitMs: 10_000 })
    await new Promise((go) => setTimeout(go, 1500))
    const result = await load.stop()
    assert.deepEqual(result.failures, [], told(result))
    assert.equal(hosts(result).size, 5)
    await slipway('scale', 'backend=2')
  })

  test('2b. autoscale: out under load, back afterwards, and up does not fight it', async () => {
    await slipway('autoscale', 'backend', '--min', '2', '--max', '4', '--cpu', '70')
    const load = startLoad({ url: `${api}/api/restaurants`, clients: 8, pauseMs: 0, keepAlive: true, limitMs: 120_000 })
    await eventually('four backends', async () => (await replicas()) === 4, 100_000)
    await slipway('up', '-d')
    assert.equal(await replicas(), 4, 'up has changed what the autoscaler chose')
    const result = await load.stop()
    assert.deepEqual(result.failures, [], told(result))
    // Five quiet minutes are the default before scaling in; here none.
    const behavior = { spec: { behavior: { scaleDown: { stabilizationWindowSeconds: 0 } } } }
    await site.kubectl('-n', 'feastflow', 'patch', 'hpa', 'backend', '--type', 'merge', '-p', JSON.stringify(behavior))
    await eventually('two backends again', async () => (await replicas()) === 2, 100_000)
    await slipway('autoscale', 'backend', '--off')
  })

  test('3. v1 → v2 under keep-alive load: no failed request; undo likewise', async () => {
    const load = startLoad({ url: versionUrl(), clients: 6, pauseMs: 5, keepAlive: true, limitMs: 180_000 })
    site.env.APP_VERSION = 'v2'
    await slipway('up', '-d')
    await eventually(
      'v2 answers',
      async () => ((await (await fetch(versionUrl())).json()) as { version: string }).version === 'v2',
    )
    await slipway('rollout', 'undo', 'backend')
    await eventually(
      'v1 answers again',
      async () => ((await (await fetch(versionUrl())).json()) as { version: string }).version === 'v1',
    )
    const result = await load.stop()
    assert.deepEqual(result.failures, [], told(result))
    assert.deepEqual([...versions(result)].sort(), ['v1', 'v2'])
    site.env.APP_VERSION = 'v1'
    await slipway('up', '-d')
  })

  test('3b. a broken v2 stops by itself, v1 serves on, and up says why', async () => {
    const load = startLoad({ url: versionUrl(), clients: 4, pauseMs: 5, keepAlive: true, limitMs: 180_000 })
    const good = readFileSync(file, 'utf8')
    writeFileSync(
      file,
      good.replace(
        '    build: ./backend\n',
        '    build: ./backend\n    command: ["node", "-e", "console.error(\'no such table: feasts\'); process.exit(3)"]\n',
      ),
    )
    const { code, stderr } = await site.run(
      [join(repository, 'slipway'), '--progress', 'plain', '-f', file, 'up', '-d'],
      { timeoutMs: 180_000 },
    )
    writeFileSync(file, good)
    assert.equal(code, 1, stderr)
    assert.match(stderr, /service backend did not become ready/)
    assert.match(stderr, /no such table: feasts/)
    const serving = (await pods('backend')).filter((p) => p.status.containerStatuses?.[0]?.ready)
    assert.equal(serving.length, 2)
    await slipway('up', '-d')
    const result = await load.stop()
    assert.deepEqual(result.failures, [], told(result))
  })

  test('4. the volume grows from 1 to 2 GiB without losing data', async () => {
    const order = await placeOrder()
    const text = readFileSync(file, 'utf8')
    writeFileSync(file, text.replace('size: 1Gi', 'size: 2Gi'))
    await slipway('up', '-d')
    const size = await eventually('the claim has grown', async () => {
      const claim = JSON.parse(await site.kubectl('-n', 'feastflow', 'get', 'pvc', 'postgres-data', '-o', 'json')) as {
        status: { capacity: { storage: string } }
      }
      return claim.status.capacity.storage === '2Gi' ? claim.status.capacity.storage : undefined
    })
    assert.equal(size, '2Gi')
    assert.ok(await orderExists(order))
  })

  test('5. a configuration change rolls only the services that use it, without a failed request', async () => {
    const load = startLoad({ url: `${web}/api/version`, clients: 4, pauseMs: 5, keepAlive: true, limitMs: 120_000 })
    const untouched = [...(await pods('frontend')), ...(await pods('postgres'))].map((p) => p.metadata.uid).sort()
    const old = (await pods('backend')).map((p) => p.metadata.uid)
    const text = readFileSync(file, 'utf8')
    writeFileSync(file, text.replace('      DB_HOST: postgres\n', '      DB_HOST: postgres\n      GREETING: hello\n'))
    await slipway('up', '-d')
    const result = await load.stop()
    assert.deepEqual(result.failures, [], told(result))
    assert.deepEqual(
      [...(await pods('frontend')), ...(await pods('postgres'))].map((p) => p.metadata.uid).sort(),
      untouched,
    )
    await eventually('only new backends are left', async () => {
      const now = await pods('backend')
      return now.length === 2 && now.every((p) => !old.includes(p.metadata.uid))
    })
  })

  test('the daemon is killed: the app serves on, and a new daemon takes over every container, probe and log', async () => {
    const before = (await site.must(['docker', 'ps', '-q', '--no-trunc'])).trim().split('\n').sort()
    const load = startLoad({ url: `${web}/api/restaurants`, clients: 4, pauseMs: 5, keepAlive: true, limitMs: 60_000 })
    process.kill(await site.daemonPid(), 'SIGKILL')
    await new Promise((go) => setTimeout(go, 2000))
    await slipway('ps')
    const result = await load.stop()
    assert.deepEqual(result.failures, [], told(result))
    assert.deepEqual((await site.must(['docker', 'ps', '-q', '--no-trunc'])).trim().split('\n').sort(), before)
    const [victim] = await pods('backend')
    process.kill(await pidOf(victim!), 'SIGKILL')
    await eventually('the new daemon restarts what dies', async () => {
      const now = (await pods('backend')).find((p) => p.metadata.uid === victim!.metadata.uid)
      return (
        now?.status.containerStatuses?.[0]?.ready &&
        now.status.containerStatuses[0].containerID !== victim!.status.containerStatuses![0]!.containerID
      )
    })
    assert.match(await site.kubectl('-n', 'feastflow', 'logs', 'deployment/frontend', '--tail', '3'), /\S/)
  })

  test('after a reboot the app comes back by itself with its data', async () => {
    const order = await placeOrder()
    await reboot()
    await site.must([join(repository, 'slipway'), 'daemon', 'start'])
    await eventually(
      'the app answers again',
      async () => (await fetch(`${web}/api/restaurants`)).status === 200,
      90_000,
    )
    assert.ok(await orderExists(order))
  })
})

/** What a power cut leaves: no process, no mount, no interface, no rule; files only. The boot id is told to be another. */
const reboot = async (): Promise<void> => {
  const { tearDown } = await import('./power-cut.ts')
  await tearDown(site.home)
}
