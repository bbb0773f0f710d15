import assert from 'node:assert/strict'
import { existsSync, lstatSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import type { OutputChunk } from '../../src/engine/index.ts'
import { isError } from '../../src/errors.ts'
import { packTar, readTar, type TarEntry, type TarMember, tarEntry } from '../../src/lib/tar/index.ts'
import { type Bench, importBusybox, openBench, runToEnd, spec } from './engine-kit.ts'

let bench: Bench
before(async () => {
  bench = await openBench()
  await importBusybox(bench.engine)
})
after(() => bench.destroy())

const containers = () => bench.engine.containers
const run = async (name: string, script: string, more: Parameters<typeof spec>[2] = {}): Promise<string> => {
  const result = await runToEnd(bench.engine, spec(name, ['sh', '-c', script], more))
  await containers().remove(result.id, { volumes: true })
  return result.stdout + result.stderr
}
const entries = async (tar: AsyncIterable<Uint8Array>): Promise<(TarEntry & { text: string })[]> => {
  const all: (TarEntry & { text: string })[] = []
  for await (const { entry, body } of readTar(tar)) {
    const chunks: Buffer[] = []
    for await (const chunk of body) chunks.push(chunk)
    all.push({ ...entry, text: Buffer.concat(chunks).toString() })
  }
  return all
}
const file = (path: string, text: string, more: Partial<TarEntry> = {}): TarMember => ({
  entry: tarEntry({ path, size: Buffer.byteLength(text), ...more }),
  body: Buffer.from(text),
})

test('binds, volumes with copy-up, tmpfs, read-only', async () => {
  const host = join(bench.home, 'host')
  mkdirSync(host)
  writeFileSync(join(host, 'file'), 'from the host\n')
  const text = await run(
    'mounted',
    'cat /in/file; touch /in/x; cat /data/seed; touch /data/y; mount | grep " /scratch "; echo x > /scratch/f && ls /scratch',
    {
      mounts: [
        { type: 'bind', source: host, target: '/in', readOnly: true },
        { type: 'volume', volume: 'kept', target: '/data', readOnly: false, copyUp: true },
        { type: 'tmpfs', target: '/scratch', size: 1 << 20, mode: 0o700 },
      ],
    },
  )
  assert.match(
    text,
    /^from the host\nfrom the image\ntmpfs on \/scratch type tmpfs \(rw,nosuid,nodev,noexec,relatime,size=1024k,mode=700.*\nf\ntouch: \/in\/x: Read-only file system\n$/,
  )
  const volume = bench.engine.volumes.get('kept')!
  assert.deepEqual(readdirSync(volume.mountpoint).sort(), ['seed', 'y'])
  assert.equal(await bench.engine.volumes.size('kept'), 15)
  await assert.rejects(
    containers()
      .create(
        spec('nobind', ['true'], { mounts: [{ type: 'bind', source: '/no/such', target: '/x', readOnly: false }] }),
      )
      .then(({ id }) => containers().start(id)),
    /bind source path does not exist/,
  )
  await containers().remove('nobind')
  const { id } = await containers().create(
    spec('holder', ['true'], {
      mounts: [{ type: 'volume', volume: 'kept', target: '/v', readOnly: false, copyUp: true }],
    }),
  )
  await assert.rejects(
    bench.engine.volumes.remove('kept'),
    (error) => isError(error, 'conflict') && /volume is in use/.test(error.message),
  )
  await containers().remove(id)
  await bench.engine.volumes.remove('kept')
  assert.equal(existsSync(volume.mountpoint), false)
})

test('anonymous volumes go with the container, driver options mount', async () => {
  const { id } = await containers().create(
    spec('anonymous', ['true'], {
      mounts: [{ type: 'volume', volume: '', target: '/v', readOnly: false, copyUp: true }],
    }),
  )
  const name = containers().must(id).mounts[0]!.name!
  assert.equal(bench.engine.volumes.get(name)?.anonymous, true)
  await containers().remove(id, { volumes: true })
  assert.equal(bench.engine.volumes.get(name), undefined)
  const options = { type: 'tmpfs', device: 'tmpfs', o: 'size=2m,uid=1000' }
  const volume = await bench.engine.volumes.create({ name: 'memory', driver: 'local', options, labels: {} })
  const text = await run('driver', 'mount | grep " /v "; stat -c %u /v', {
    mounts: [{ type: 'volume', volume: 'memory', target: '/v', readOnly: false, copyUp: false }],
  })
  assert.match(text, /tmpfs on \/v type tmpfs .*size=2048k.*uid=1000/)
  assert.deepEqual(bench.sys.mounts.below(volume.mountpoint), [])
  await bench.engine.volumes.remove('memory')
})

test('what a container may not do', async () => {
  const script = [
    'grep -E "^Cap(Bnd|Eff)|^Seccomp:|NoNewPrivs" /proc/self/status',
    'mount -t tmpfs x /tmp 2>&1',
    'cat /proc/kcore 2>&1 | head -c 9 | wc -c',
    'echo 1 > /proc/sys/kernel/core_pattern',
    'ls -l /dev/null /dev/mem 2>&1',
    'touch /sys/x',
  ].join('; ')
  const text = await run('confined', script)
  assert.match(text, /CapEff:\s*00000000a80425fb/)
  assert.match(text, /Seccomp:\s*2/)
  assert.match(text, /mount: permission denied/)
  assert.match(text, /Read-only file system/)
  assert.match(text, /\/dev\/mem: No such file/)
  const user = await run('unprivileged', 'id; grep -E "^Cap(Eff|Bnd)" /proc/self/status; echo $HOME', {
    user: 'app:extra',
    groups: ['7'],
  })
  assert.match(user, /uid=1000\(app\) gid=2000\(extra\) groups=7,2000\(extra\)/)
  assert.match(user, /CapEff:\s*0{16}/)
  assert.match(user, /\/home\/app/)
  const privileged = await run(
    'privileged',
    'mount -t tmpfs x /tmp && ls -d /dev/vda /dev/null; grep Seccomp: /proc/self/status',
    { security: { ...spec('x', []).security, privileged: true } },
  )
  assert.match(privileged, /\/dev\/null\nSeccomp:\s*0|\/dev\/null[\s\S]*Seccomp:\s*0/)
  const readOnly = await run('readonly', 'touch /x', { security: { ...spec('x', []).security, readOnlyRootfs: true } })
  assert.match(readOnly, /Read-only file system/)
})

test('the compiled seccomp profile confines like the first one', async () => {
  for (const name of ['compiled-1', 'compiled-2']) {
    assert.match(
      await run(name, 'mount -t tmpfs x /tmp; grep Seccomp: /proc/self/status', {
        security: {
          ...spec('x', []).security,
          capAdd: ['SYS_ADMIN'],
          seccomp: JSON.stringify({
            defaultAction: 'SCMP_ACT_ALLOW',
            syscalls: [{ names: ['mount'], action: 'SCMP_ACT_ERRNO' }],
          }),
        },
      }),
      /mount: .*(denied|not permitted)[\s\S]*Seccomp:\s*2|Seccomp:\s*2[\s\S]*mount: .*(denied|not permitted)/,
    )
  }
})

test('limits this machine cannot give are refused with a hint', async () => {
  const ulimits = [{ name: 'nofile', soft: 1024, hard: 2 ** 30 }]
  await assert.rejects(
    containers().create(spec('limits', ['true'], { ulimits })),
    (error) => isError(error, 'invalid') && error.hint !== undefined,
  )
  assert.equal(
    await run('nofile', 'sh -c "ulimit -n"', { ulimits: [{ name: 'nofile', soft: 512, hard: 1024 }] }),
    '512\n',
  )
})

test('cp out: files, directories, links; running and not', async () => {
  const { id } = await containers().create(spec('cp-out', ['sleep', '100']))
  for (const state of ['stopped', 'running']) {
    if (state === 'running') await containers().start(id)
    const stat = await containers().statPath(id, '/bin/sh')
    assert.deepEqual([stat.name, stat.linkTarget], ['sh', '/bin/busybox'])
    const one = await containers().readArchive(id, '/data/seed')
    assert.deepEqual(
      (await entries(one.tar)).map(({ path, text }) => [path, text]),
      [['seed', 'from the image\n']],
    )
    const dir = await containers().readArchive(id, '/data')
    assert.deepEqual(
      (await entries(dir.tar)).map(({ path }) => path),
      ['data/', 'data/seed'],
    )
    const inside = await containers().readArchive(id, '/data/.')
    assert.deepEqual(
      (await entries(inside.tar)).map(({ path }) => path),
      ['./', './seed'],
    )
    await assert.rejects(
      containers().statPath(id, '/no'),
      (error) => isError(error, 'not-found') && /Could not find the file/.test(error.message),
    )
  }
  await containers().remove(id, { force: true })
})

test('cp in: owners, replacing, links that lead out', async () => {
  const { id } = await containers().create(spec('cp-in', ['sleep', '100'], { user: 'app' }))
  const secret = join(bench.home, 'secret')
  writeFileSync(secret, 'of the host')
  for (const state of ['stopped', 'running']) {
    if (state === 'running') await containers().start(id)
    const members = [
      file('new/deep/file', 'text', { uid: 7, gid: 8, mode: 0o4755 }),
      { entry: tarEntry({ path: 'out', type: 'symlink', linkName: secret }) },
      { entry: tarEntry({ path: 'up', type: 'symlink', linkName: '../../../../../../../../tmp' }) },
      file(`up/${state}`, 'stays inside'),
      file('out', 'replaces the link'),
    ]
    await containers().writeArchive(id, '/tmp', packTar(members))
    assert.equal(readFileSync(secret, 'utf8'), 'of the host')
    assert.equal(existsSync(join('/tmp', state)), false)
    const back = await entries((await containers().readArchive(id, '/tmp')).tar)
    const { uid, mode, text } = back.find(({ path }) => path === 'tmp/new/deep/file')!
    assert.deepEqual([uid, mode, text], [7, 0o4755, 'text'])
    assert.ok(back.some(({ path }) => path === `tmp/${state}`))
    assert.equal(back.find(({ path }) => path === 'tmp/out')!.text, 'replaces the link')
  }
  await assert.rejects(containers().writeArchive(id, '/tmp', packTar([file('../escape', 'x')])), (error) =>
    isError(error, 'bad-request'),
  )
  await assert.rejects(containers().writeArchive(id, '/no', packTar([])), (error) => isError(error, 'not-found'))
  await assert.rejects(containers().writeArchive(id, '/etc/passwd', packTar([])), /extraction point is not a directory/)
  await containers().writeArchive(id, '/tmp', packTar([file('mine', 'x')]), { copyUidGid: true })
  assert.match((await containers().execOnce(id, ['stat', '-c', '%u:%g', '/tmp/mine'])).output, /1000:1000/)
  await containers().remove(id, { force: true })
})

test('a passwd that is a FIFO or leads out is not waited for or read', async () => {
  const { id } = await containers().create(spec('fifo', ['id', '-u'], { user: 'root' }))
  await containers().writeArchive(id, '/etc', packTar([{ entry: tarEntry({ path: 'passwd', type: 'fifo' }) }]))
  await assert.rejects(containers().start(id), /unable to find user root/)
  await containers().remove(id)
})

test('diff, export, commit', async () => {
  const { id } = await runToEnd(bench.engine, spec('changed', ['sh', '-c', 'echo new > /data/new; rm /data/seed']))
  const changes = (await containers().changes(id)).map(({ path, kind }) => `${kind} ${path}`)
  for (const change of ['modified /data', 'added /data/new', 'deleted /data/seed'])
    assert.ok(changes.includes(change), change)
  const names = (await entries(await containers().exportRootfs(id))).map(({ path }) => path)
  assert.ok(names.includes('data/new') && names.includes('bin/busybox') && !names.includes('data/seed'))
  const image = await containers().commit(id, { name: 'changed:1', message: 'with a new file' })
  assert.equal(image.config.history?.at(-1)?.comment, 'with a new file')
  await containers().remove(id)
  assert.equal(await run('committed', 'cat /data/new; ls /data', { image: 'changed:1' }), 'new\nnew\n')
})

test('build steps: output, codes, layers without stubs, abort', async () => {
  const image = await bench.engine.images.must('busybox:latest')
  const target = join(bench.home, 'step-rootfs')
  mkdirSync(target)
  bench.sys.mounts.mount({ ...(await bench.engine.snapshots.prepare('step-test', image.snapshots.at(-1))), target })
  const chunks: OutputChunk[] = []
  const times = (path: string): bigint => lstatSync(join(target, path), { bigint: true }).mtimeNs
  const etc = times('etc')
  const step = (args: string[], more = {}) =>
    containers().runStep({
      rootfs: target,
      args,
      env: ['A=b'],
      cwd: '/',
      user: '',
      network: 'none',
      mounts: [],
      hosts: [],
      privileged: false,
      resources: {},
      ulimits: [],
      output: (chunk) => void chunks.push(chunk),
      ...more,
    })
  assert.equal(await step(['sh', '-c', 'echo $A; echo made > /made; echo to > /dev/stderr; exit 6']), 6)
  assert.deepEqual(
    chunks.map(({ stream, data }) => `${stream} ${data}`),
    ['stdout b\n', 'stderr to\n'],
  )
  assert.equal(await step(['nosuch']), 127)
  assert.equal(await step(['/etc/plain']), 126)
  assert.equal(await step(['sh', '-c', 'grep -c eth0 /proc/net/dev; id -u'], { network: 'default', user: 'app' }), 0)
  const aborting = new AbortController()
  setTimeout(() => aborting.abort(), 150)
  await assert.rejects(step(['sh', '-c', 'sleep 100 & sleep 100'], { signal: aborting.signal }), (error) =>
    isError(error, 'cancelled'),
  )
  assert.deepEqual(readdirSync(join(bench.instance.runDir, 'steps')), [])
  assert.equal(times('etc'), etc)
  bench.sys.mounts.unmount(target)
  const changed = (await bench.engine.snapshots.changes('step-test')).map(({ path }) => path)
  assert.deepEqual(
    changed.filter((path) => path !== '/' && path !== '/etc'),
    ['/made'],
  )
  await bench.engine.snapshots.remove('step-test')
  assert.ok(lstatSync(target).isDirectory())
})

test('a working directory that leads into /proc is refused', async () => {
  const { id } = await containers().create(spec('cwd', ['true'], { workingDir: '/proc/self/fd/8' }))
  await assert.rejects(containers().start(id), (error) => isError(error, 'bad-request'))
  await containers().remove(id)
})
