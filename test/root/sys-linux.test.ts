import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import {
  closeSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { Worker } from 'node:worker_threads'
import { gunzipSync } from 'node:zlib'
import { isError } from '../../src/errors.ts'
import { type Deflate, gzipBy } from '../../src/lib/gzip.ts'
import { silentLog } from '../../src/lib/log.ts'
import { createLinux } from '../../src/sys/linux/index.ts'
import type { Sys } from '../../src/sys/sys.ts'

let home: string
let sys: Sys
before(() => {
  assert.equal(process.getuid?.(), 0, 'these tests need root')
  home = mkdtempSync('/tmp/slipway-sys-')
  sys = createLinux({ runDir: join(home, 'run') }, silentLog)
})
after(() => {
  for (const { target } of sys.mounts.below(home).reverse()) sys.mounts.unmount(target, { detach: true })
  rmSync(home, { recursive: true, force: true })
})

test('run, must, timeouts and missing programs', async () => {
  const { run, must } = sys.processes
  assert.deepEqual(await run(['cat'], { input: 'hi' }), { code: 0, stdout: 'hi', stderr: '' })
  assert.equal((await run(['false'])).code, 1)
  await assert.rejects(must(['sh', '-c', 'echo bad >&2; exit 3']), /sh failed \(3\): bad/)
  await assert.rejects(run(['/no/such/program']), (error) => isError(error, 'unavailable'))
  await assert.rejects(run(['sleep', '5'], { timeoutMs: 20 }), (error) => isError(error, 'timeout'))
  await assert.rejects(run(['sleep', '5'], { signal: AbortSignal.timeout(20) }), (error) => isError(error, 'cancelled'))
  assert.equal(
    (await run(['sh', '-c', 'head -c 5000 /dev/zero; echo end'], { maxOutput: 4 })).stdout,
    'end\n'.slice(-4),
  )
})

test('processes by pid', () => {
  const { startTime, kill, descendants, spawn } = sys.processes
  assert.equal(startTime(process.pid), startTime(process.pid))
  assert.equal(startTime(2 ** 22 + 1), undefined)
  assert.equal(kill(2 ** 22 + 1, 0), false)
  const child = spawn(['sleep', '30'])
  assert.ok(descendants(process.pid).includes(child.pid))
  child.kill('SIGKILL')
})

test('mounts: tmpfs, read-only bind, recursive', () => {
  const at = join(home, 'run/m')
  mkdirSync(join(at, 'a'), { recursive: true })
  mkdirSync(join(at, 'b'))
  sys.mounts.mount({
    type: 'tmpfs',
    source: 'tmpfs',
    target: join(at, 'a'),
    options: ['nosuid', 'size=1m', 'mode=755'],
  })
  mkdirSync(join(at, 'a/in'))
  sys.mounts.mount({ type: 'tmpfs', source: 'tmpfs', target: join(at, 'a/in'), options: [] })
  sys.mounts.mount({ type: 'bind', source: join(at, 'a'), target: join(at, 'b'), options: ['rbind', 'ro', 'rprivate'] })
  assert.throws(() => writeFileSync(join(at, 'b/x'), ''), /EROFS/)
  writeFileSync(join(at, 'b/in/x'), '')
  const below = sys.mounts.below(at)
  assert.deepEqual(
    below.map(({ target }) => target.slice(at.length)),
    ['/a', '/a/in', '/b', '/b/in'],
  )
  assert.match(below[2]!.options, /^ro,nosuid/)
  for (const { target } of below.reverse()) sys.mounts.unmount(target)
  sys.mounts.unmount(join(at, 'a'))
  assert.deepEqual(sys.mounts.below(at), [])
})

test('mounts: an overlay with more layers than fit in a page', () => {
  const at = join(home, 'run/deep')
  const layers = Array.from({ length: 60 }, (_, i) => join(at, `${'layer'.repeat(16)}-${i}`))
  for (const layer of layers) mkdirSync(layer, { recursive: true })
  writeFileSync(join(layers[59]!, 'deepest'), 'x')
  for (const dir of ['up', 'work', 'root']) mkdirSync(join(at, dir))
  const options = [`lowerdir=${layers.join(':')}`, `upperdir=${join(at, 'up')}`, `workdir=${join(at, 'work')}`]
  sys.mounts.mount({ type: 'overlay', source: 'overlay', target: join(at, 'root'), options })
  assert.equal(readFileSync(join(at, 'root/deepest'), 'utf8'), 'x')
  sys.mounts.unmount(join(at, 'root'))
})

test('namespaces: pinned, entered, removed', async () => {
  const dir = join(home, 'run/ns')
  const netns = join(dir, 'net')
  sys.namespaces.create(dir, ['net', 'ipc', 'uts'], { hostname: 'inside' })
  assert.throws(
    () => sys.namespaces.create(dir, ['net']),
    (error) => isError(error, 'already-exists'),
  )
  const mine = statSync('/proc/self/ns/net').ino
  assert.equal(
    sys.namespaces.within(netns, () => statSync('/proc/thread-self/ns/net').ino),
    statSync(netns).ino,
  )
  assert.equal(statSync('/proc/thread-self/ns/net').ino, mine)
  assert.notEqual(statSync(netns).ino, mine)
  await sys.links.batch(['link add d0 type bridge', 'link set d0 up'], { netns })
  const links = (await sys.links.query(['link'], { netns })) as { ifname: string; flags: string[] }[]
  assert.deepEqual(
    links.map(({ ifname }) => ifname),
    ['lo', 'd0'],
  )
  assert.ok(links[0]!.flags.includes('UP'))
  await assert.rejects(sys.links.batch(['link add d1 type bridge', 'link set nope up'], { netns }), /link set nope up/)
  sys.links.sysctl('net/ipv4/ip_unprivileged_port_start', '0', { netns })
  assert.throws(
    () => sys.links.sysctl('net/nope', '1', { netns }),
    (error) => isError(error, 'not-found'),
  )
  await sys.firewall.apply('table inet t {\nchain c {\n}\n}\n', { netns })
  assert.match((await sys.firewall.list('inet', 't', { netns })) ?? '', /chain c/)
  assert.equal(await sys.firewall.list('inet', 'other', { netns }), undefined)
  await assert.rejects(sys.firewall.apply('nonsense', { netns }), /nft failed/)
  sys.namespaces.remove(dir)
  sys.namespaces.remove(dir)
  assert.equal(existsSync(dir), false)
})

test('files: openInRoot and resolveInRoot never leave the root', () => {
  const root = join(home, 'root')
  mkdirSync(join(root, 'etc'), { recursive: true })
  writeFileSync(join(root, 'etc/passwd'), 'inside')
  symlinkSync('/etc', join(root, 'abs'))
  symlinkSync('../../../../etc', join(root, 'up'))
  symlinkSync('loop', join(root, 'loop'))
  for (const path of ['abs/passwd', 'up/passwd', '/../../etc/passwd']) {
    const fd = sys.files.openInRoot(root, path, 0)
    assert.equal(readFileSync(fd, 'utf8'), 'inside')
    closeSync(fd)
    assert.equal(sys.files.resolveInRoot(root, path), '/etc/passwd')
  }
  assert.throws(
    () => sys.files.openInRoot(root, 'proc/self/root', 0),
    (error) => isError(error, 'not-found'),
  )
  assert.throws(
    () => sys.files.openInRoot(root, 'loop', 0),
    (error) => isError(error, 'invalid'),
  )
  assert.equal(sys.files.resolveInRoot(root, 'abs/new/file'), '/etc/new/file')
})

test('files: nodes, attributes, times', () => {
  const node = join(home, 'null')
  sys.files.mknod(node, 0o020666, 1, 3)
  assert.equal(lstatSync(node).rdev, 0x103)
  const file = join(home, 'attributes')
  writeFileSync(file, '')
  sys.files.setXattr(file, 'trusted.overlay.opaque', Buffer.from('y'))
  assert.deepEqual(sys.files.listXattrs(file), ['trusted.overlay.opaque'])
  assert.equal(Buffer.from(sys.files.getXattr(file, 'trusted.overlay.opaque')!).toString(), 'y')
  assert.equal(sys.files.getXattr(file, 'user.none'), undefined)
  sys.files.setTimes(file, 1_500_000_001n, -5n)
  const stat = lstatSync(file, { bigint: true })
  assert.equal(stat.atimeNs, 1_500_000_001n)
  assert.equal(stat.mtimeNs, -5n)
})

test('the OCI runtime is chosen, its namespace survives and is made again', async () => {
  const runtime = await sys.processes.ociRuntime()
  assert.ok(['crun', 'runc'].includes(runtime.name))
  const say = await sys.processes.must([...runtime.enter, 'cat', '/proc/self/mountinfo'])
  const late = join(home, 'run/late')
  mkdirSync(late)
  sys.mounts.mount({ type: 'tmpfs', source: 'tmpfs', target: late, options: [] })
  const again = await sys.processes.must([...runtime.enter, 'cat', '/proc/self/mountinfo'])
  assert.ok(again.stdout.includes(late), 'later mounts reach the runtime')
  if (runtime.enter.length > 0) {
    assert.ok(!say.stdout.includes('/sys/fs/cgroup/unified'))
    sys.mounts.unmount(join(home, 'run/runtime/mnt'), { detach: true })
    const anew = await sys.processes.ociRuntime()
    assert.deepEqual(anew.enter, runtime.enter)
    await sys.processes.must([...anew.enter, 'true'])
  }
  sys.mounts.unmount(late)
})

test('cgroups: figures of our own, removal of nothing', () => {
  assert.equal(sys.cgroups.stats('/slipway-test-nope'), undefined)
  sys.cgroups.remove('/slipway-test-nope')
  assert.deepEqual(sys.cgroups.pids('/slipway-test-nope'), [])
})

test('a fast compressor: in every thread the same bytes, which zlib reads', async () => {
  const { method, module } = sys.fastDeflate()!
  assert.match(method, /^isal-1 \w+ [0-9a-f]{16}$/)
  const text = Buffer.from(Array.from({ length: 200_000 }, (_, i) => `${(i * 2654435761) % 9973} word `).join(''))
  const { deflate } = (await import(module)) as { deflate: Deflate }
  const pack = async (data: Buffer, piece: number) => {
    const pieces = async function* () {
      for (let at = 0; at < data.length; at += piece) yield data.subarray(at, at + piece)
    }
    const parts: Buffer[] = []
    for await (const part of gzipBy(pieces(), deflate)) parts.push(Buffer.from(part))
    return Buffer.concat(parts)
  }
  for (const data of [text, text.subarray(0, 1), Buffer.alloc(0), Buffer.alloc(3 << 20), randomBytes(2_500_000)]) {
    const first = await pack(data, 100_000)
    assert.ok(gunzipSync(first).equals(data))
    assert.ok(first.length < Math.max(data.length * 1.001, 100))
    assert.ok((await pack(data, 1 << 20)).equals(first))
  }
  // Threads that end while they compress take nothing with them.
  const endless = `import(${JSON.stringify(module)}).then(({ deflate }) => {
    const { parentPort } = require('node:worker_threads')
    const data = Buffer.alloc(1 << 20, 'some text')
    parentPort.postMessage(Buffer.from(deflate(data)))
    for (;;) deflate(data)
  })`
  for (let i = 0; i < 10; i++) {
    const worker = new Worker(endless, { eval: true })
    const [made] = (await once(worker, 'message')) as [Uint8Array]
    assert.ok(Buffer.from(deflate(Buffer.alloc(1 << 20, 'some text'))).equals(made))
    await worker.terminate()
  }
})
