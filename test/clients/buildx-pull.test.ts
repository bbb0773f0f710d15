/** Builds that are ended while their base image is on its way from a slow registry: nothing half is left, the next one goes on. */
import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { shell, startBuildx } from './buildx-kit.ts'
import { type Registry, type SlowProxy, startRegistry, startSlowProxy } from './images-kit.ts'

const buildx = startBuildx()
const { ok, start, project } = buildx
const { home } = buildx.instance
let registry: Registry | undefined
let proxy: SlowProxy
after(() => {
  proxy?.close()
  registry?.stop()
  buildx.stop()
})
const slow = 2 << 20
const sizes = [6 << 20, 12 << 20]
const contents = sizes.map((size) => randomBytes(size))
before(async () => {
  registry = await startRegistry(buildx.dir)
  proxy = await startSlowProxy(registry.host)
  const dir = project('base', { Dockerfile: `${shell}COPY one /one\nCOPY two /two\n` })
  for (const [i, name] of ['one', 'two'].entries()) writeFileSync(join(dir, name), contents[i]!)
  await ok(['buildx', 'build', '--push', '-t', `${registry.host}/base:1`, dir])
  await ok(['rmi', `${registry.host}/base:1`])
  await ok(['buildx', 'prune', '-af'])
})

const until = async (what: string, done: () => boolean | Promise<boolean>): Promise<void> => {
  for (const end = Date.now() + 30_000; !(await done()); await sleep(20))
    assert.ok(Date.now() < end, `waited in vain for ${what}`)
}
const within = (path: string): string[] => (existsSync(join(home, path)) ? readdirSync(join(home, path)) : [])
/** Bytes of downloads that can be gone on with. */
const gathered = (): number =>
  within('lib/content/ingest')
    .filter((name) => name.endsWith('.partial'))
    .reduce((sum, name) => sum + statSync(join(home, 'lib/content/ingest', name)).size, 0)
const daemonPid = (): number => (JSON.parse(readFileSync(join(home, 'run/daemon.json'), 'utf8')) as { pid: number }).pid

/** All but the downloads is as if nothing had been begun. */
const nothingHalf = async (when: string): Promise<void> => {
  const left = () => ({
    requests: proxy.open(),
    work: ['run/build', 'run/steps', 'lib/build/contexts', 'lib/content/blobs/sha256', 'lib/snapshots'].flatMap(within),
    others: within('lib/content/ingest').filter((name) => !name.endsWith('.partial')),
    mounts: readFileSync('/proc/self/mounts', 'utf8')
      .split('\n')
      .filter((line) => line.includes(`${home}/run/build`)),
  })
  const none = { requests: 0, work: [], others: [], mounts: [] }
  try {
    await until(when, () => JSON.stringify(left()) === JSON.stringify(none))
  } catch {
    assert.deepEqual(left(), none, when)
  }
  assert.equal((await ok(['images', '-aq'])).stdout, '', when)
  assert.doesNotMatch((await ok(['buildx', 'du'])).stdout, /In use:\s+true/, when)
}

test('client interrupted, client killed, daemon killed: what has come is not asked for again', async () => {
  const text = `FROM ${proxy.host}/base:1\nRUN cat /one /two | sha256sum\n`
  const dir = project('on', { Dockerfile: text })
  proxy.rate = slow
  const asked: number[] = []
  for (const end of ['SIGINT', 'SIGKILL', 'daemon', 'SIGINT'] as const) {
    const had = gathered()
    const before = proxy.served.length
    const child = start(['buildx', 'build', dir])
    const closed = new Promise((resolve) => child.once('close', resolve))
    await until('the download', () => gathered() > had + (1 << 20))
    asked.push(...proxy.served.slice(before).map(({ from }) => from))
    const old = daemonPid()
    if (end === 'daemon') process.kill(old, 'SIGKILL')
    else child.kill(end)
    await closed
    if (end === 'daemon') await until('another daemon', () => daemonPid() !== old)
    await nothingHalf(end)
    assert.ok(gathered() > had, `${end} has lost what had come`)
  }
  proxy.rate = Number.POSITIVE_INFINITY
  const { all } = await ok(['buildx', 'build', dir])
  const sum = createHash('sha256').update(Buffer.concat(contents)).digest('hex')
  assert.match(all, new RegExp(sum))
  assert.ok(asked.filter((from) => from > 0).length >= 3, `asked for from ${asked}`)
  const total = proxy.served.reduce((bytes, one) => bytes + one.bytes, 0)
  const whole = sizes.reduce((bytes, size) => bytes + size, 0)
  // Of each layer that was under way, what stood in buffers of the connection comes again.
  assert.ok(total < whole * 1.5, `${total} bytes were sent of ${whole}`)
  assert.deepEqual(within('lib/content/ingest'), [])
})

test('two builds want one base: the second goes on where the first was when it was ended', async () => {
  await ok(['image', 'prune', '-af'])
  await ok(['buildx', 'prune', '-af'])
  proxy.rate = slow
  proxy.served.length = 0
  /** A build that has come as far as to wait for its base. */
  const begun = async (name: string) => {
    const dir = project(name, { Dockerfile: `FROM ${proxy.host}/base:1\nRUN echo ${name}; wc -c /two\n` })
    const child = start(['buildx', 'build', dir])
    let said = ''
    child.stderr!.on('data', (chunk: Buffer) => void (said += chunk))
    const closed = new Promise<string>((resolve) => child.once('close', (code) => resolve(`${said}\nexit ${code}`)))
    await until('its base', () => said.includes(`load metadata for ${proxy.host}/base:1`))
    return { child, closed }
  }
  const first = await begun('first')
  await until('the download', () => gathered() > 1 << 20)
  const second = await begun('second')
  first.child.kill('SIGKILL')
  await until('the takeover', () => proxy.served.some(({ from }) => from > 0))
  proxy.rate = Number.POSITIVE_INFINITY
  const said = await second.closed
  assert.match(said, new RegExp(`${sizes[1]} /two[^]*exit 0$`))
  assert.deepEqual(within('lib/content/ingest'), [])
})

test('what nobody goes on with goes with image prune', async () => {
  await ok(['image', 'prune', '-af'])
  await ok(['buildx', 'prune', '-af'])
  proxy.rate = slow
  const child = start(['pull', `${proxy.host}/base:1`])
  await until('the download', () => gathered() > 1 << 20)
  child.kill('SIGINT')
  await until('its end', () => proxy.open() === 0)
  assert.ok(gathered() > 1 << 20)
  await until('nothing left', async () => {
    await ok(['image', 'prune', '-f'])
    return within('lib/content/ingest').length === 0
  })
})
