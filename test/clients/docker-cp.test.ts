/** docker cp: what is mounted into a container that does not run, and clients that go away. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { request } from 'node:http'
import { join } from 'node:path'
import { after, afterEach, test } from 'node:test'
import { startDocker } from './docker-kit.ts'

const docker = startDocker()
after(() => docker.stop())
afterEach(() => docker.clean())
const { ok, fails, dir, instance } = docker

test('binds and volumes of a stopped container, read-only ones too', async () => {
  for (const name of ['rw', 'ro']) mkdirSync(join(dir, name), { recursive: true })
  writeFileSync(join(dir, 'file'), 'sent\n')
  writeFileSync(join(dir, 'ro/there'), 'kept\n')
  await ok(
    'create',
    '--name',
    'cc',
    '-v',
    `${dir}/rw:/rw`,
    '-v',
    `${dir}/ro:/ro:ro`,
    '-v',
    'vol:/vol',
    'busybox',
    'true',
  )
  for (const to of ['/rw/in', '/vol/in']) await ok('cp', join(dir, 'file'), `cc:${to}`)
  assert.equal(readFileSync(join(dir, 'rw/in'), 'utf8'), 'sent\n')
  assert.equal(await ok('run', '--rm', '-v', 'vol:/v', 'busybox', 'cat', '/v/in'), 'sent')
  await ok('cp', 'cc:/ro/there', join(dir, 'out'))
  assert.equal(readFileSync(join(dir, 'out'), 'utf8'), 'kept\n')
  await fails(1, 'cp', join(dir, 'file'), 'cc:/ro/in')
  assert.equal(existsSync(join(dir, 'ro/in')), false)
})

/** What `docker cp` gives of a file, on standard output. */
const content = async (from: string): Promise<string> => {
  await ok('cp', from, join(dir, 'got'))
  return readFileSync(join(dir, 'got'), 'utf8')
}

test("the container's own hosts, resolv.conf and hostname: empty before it is started, the last run's afterwards", async () => {
  const paths = ['hosts', 'resolv.conf', 'hostname'].map((name) => `/etc/${name}`)
  const id = await ok('create', '--name', 'cc', '--add-host', 'foo:192.0.2.1', '--dns', '192.0.2.53', 'busybox', 'true')
  for (const path of paths) assert.equal(await content(`cc:${path}`), '')
  await ok('start', '-a', 'cc')
  assert.match(await content('cc:/etc/hosts'), new RegExp(`^192\\.0\\.2\\.1\tfoo\n.*\t${id.slice(0, 12)}\n`, 'm'))
  assert.equal(await content('cc:/etc/resolv.conf'), 'nameserver 192.0.2.53\n')
  assert.equal(await content('cc:/etc/hostname'), `${id.slice(0, 12)}\n`)
  writeFileSync(join(dir, 'mine'), 'mine\n')
  // As with dockerd, running or not: what is mounted there is not taken away.
  for (const path of paths) assert.match(await fails(1, 'cp', join(dir, 'mine'), `cc:${path}`), /resource busy/)
  assert.equal(await ok('diff', 'cc'), '')
  await ok('run', '-d', '--name', 'up', '-v', `${dir}/mine:/etc/conf`, 'busybox', 'sleep', '100')
  for (const path of ['/etc/hosts', '/etc/conf'])
    assert.match(await fails(1, 'cp', join(dir, 'mine'), `up:${path}`), /resource busy/)
  assert.equal(await ok('exec', 'up', 'cat', '/etc/conf'), 'mine')
  assert.match(await ok('exec', 'up', 'cat', '/etc/hosts'), /localhost/)
})

/** Paths in a tar that the client writes to standard output. */
const names = async (...args: string[]): Promise<string[]> => {
  await ok(...args, '-o', join(dir, 'some.tar'))
  const listed = execFileSync('tar', ['tf', join(dir, 'some.tar')], { encoding: 'utf8' })
  return listed.split('\n').filter((name) => name !== '' && !name.startsWith('bin/'))
}

test('what a container only got so that something could be mounted is in export, and in no diff and no commit', async () => {
  const layers = (): string[] => readdirSync(join(instance.home, 'lib/snapshots'))
  const before = layers()
  const tar = join(dir, 'bare.tar')
  execFileSync('tar', ['-C', '/bin', '-cf', tar, 'busybox'])
  await ok('import', tar, 'bare')
  const layerOf = async (image: string): Promise<string[]> => {
    await ok('commit', 'cc', image)
    const root = join(dir, image)
    mkdirSync(root)
    await ok('save', '-o', join(root, 'image.tar'), image)
    execFileSync('tar', ['-C', root, '-xf', join(root, 'image.tar')])
    const [{ Layers }] = JSON.parse(readFileSync(join(root, 'manifest.json'), 'utf8')) as [{ Layers: string[] }]
    return execFileSync('tar', ['tf', join(root, Layers.at(-1)!)], { encoding: 'utf8' })
      .split('\n')
      .filter(Boolean)
  }
  const points = [
    '.dockerenv',
    'dev/',
    'dev/console',
    'dev/pts/',
    'dev/shm/',
    'etc/',
    'etc/hostname',
    'etc/hosts',
  ].concat(['etc/mtab', 'etc/resolv.conf', 'proc/', 'sys/'])
  await ok('create', '--name', 'cc', 'bare', '/busybox', 'true')
  assert.deepEqual(
    (await names('export', 'cc')).filter((name) => name !== 'busybox'),
    points,
  )
  await ok('start', '-a', 'cc')
  assert.equal(await ok('diff', 'cc'), '')
  // No layer is added to the image's own.
  assert.deepEqual(await layerOf('nothing'), ['busybox'])
  await ok('rm', 'cc')
  const script =
    'echo 1 >/etc/new; : >/etc/empty; /busybox mkdir /etc/dir; /busybox chmod 700 /etc; /busybox rm /.dockerenv'
  await ok(
    'run',
    '--name',
    'cc',
    '--tmpfs',
    '/t',
    '-v',
    '/data/deep',
    '-w',
    '/wd/x',
    'bare',
    '/busybox',
    'sh',
    '-c',
    script,
  )
  const theirs = [
    '.wh..dockerenv',
    'data/',
    'data/deep/',
    'etc/',
    'etc/dir/',
    'etc/empty',
    'etc/new',
    't/',
    'wd/',
    'wd/x/',
  ]
  assert.deepEqual(await layerOf('something'), theirs)
  await ok('rm', '-v', 'cc')
  await ok('rmi', 'bare', 'nothing', 'something')
  assert.deepEqual(layers(), before)
})

test('the working directory is there as soon as a container is created, and belongs to root', async () => {
  await ok('create', '--name', 'cc', '-u', '1000', '-w', '/a/b', 'busybox', 'stat', '-c', '%u %a %n', '.')
  assert.equal(await ok('diff', 'cc'), 'A /a\nA /a/b')
  await ok('cp', join(dir, 'mine'), 'cc:/a/b/mine')
  assert.equal(await content('cc:/a/b/mine'), 'mine\n')
  assert.equal(await ok('start', '-a', 'cc'), '0 755 .')
  assert.match(
    await fails(1, 'create', '--name', 'no', '-w', '/bin/sh', 'busybox', 'true'),
    /Cannot mkdir: \/bin\/sh is not a directory/,
  )
  assert.equal(await ok('ps', '-aq', '-f', 'name=no'), '')
})

for (const [what, path] of [
  ['archive', '/archive?path=/bin'],
  ['export', '/export'],
])
  test(`${what}: a client that goes away leaves the container free`, async () => {
    await ok('create', '--name', 'cc', 'busybox', 'true')
    await new Promise<void>((gone, failed) => {
      const req = request({ socketPath: instance.dockerSocket, path: `/containers/cc${path}` }, (res) => {
        res.once('data', () => res.destroy())
        res.once('close', gone)
      })
      req.once('error', failed).end()
    })
    await ok('rm', 'cc')
  })
