/** What a hostile image, container or archive tries on its host, and what comes of it. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { request } from 'node:http'
import { join } from 'node:path'
import { buffer } from 'node:stream/consumers'
import { after, afterEach, before, test } from 'node:test'
import { packTar, type TarEntryType, type TarMember, tarEntry } from '../../src/lib/tar/index.ts'
import { collect, startDocker, until } from './docker-kit.ts'

const docker = startDocker()
after(() => docker.stop())
afterEach(() => docker.clean())
const { ok, run, fails } = docker
const { home, env } = docker.instance

/** A directory of the host that nothing may read, write or change, and what it is like. */
const outside = join(docker.dir, 'outside')
const names = Array.from({ length: 400 }, (_, i) => `f${i}`)
const stateOf = (dir: string): string =>
  createHash('sha256')
    .update(
      readdirSync(dir)
        .sort()
        .map((name) => `${name} ${statSync(join(dir, name)).mode} ${readFileSync(join(dir, name))}`)
        .concat(String(statSync(dir).mode))
        .join('\n'),
    )
    .digest('hex')
let untouched: string
before(() => {
  mkdirSync(outside, { mode: 0o700 })
  for (const name of names) writeFileSync(join(outside, name), 'of the host', { mode: 0o600 })
  untouched = stateOf(outside)
})
afterEach(() => assert.equal(stateOf(outside), untouched, 'the host was changed'))

/** An image: busybox, changed by `change`. */
const imageOf = (name: string, change: (root: string) => void): void => {
  const root = join(docker.dir, `root-${name}`)
  cpSync(join(docker.dir, 'busybox'), root, { recursive: true, verbatimSymlinks: true })
  change(root)
  const tar = join(docker.dir, `${name}.tar`)
  execFileSync('tar', ['-C', root, '--owner=0', '--group=0', '-cf', tar, '.'])
  execFileSync('docker', ['import', tar, name], { env, stdio: 'ignore' })
  rmSync(root, { recursive: true })
}

/** PUT or GET of /containers/ID/archive, with no client's process for each. */
const archive = (
  method: 'GET' | 'PUT',
  container: string,
  path: string,
  body?: Buffer,
): Promise<{ status: number; body: string }> =>
  new Promise((resolve, reject) => {
    const to = {
      socketPath: docker.instance.dockerSocket,
      method,
      path: `/containers/${container}/archive?path=${encodeURIComponent(path)}`,
    }
    const req = request(to, (res) => {
      const chunks: Buffer[] = []
      res.on('data', (chunk: Buffer) => chunks.push(chunk))
      res.on('end', () => resolve({ status: res.statusCode!, body: Buffer.concat(chunks).toString('latin1') }))
      res.on('error', reject)
    })
    req.on('error', reject)
    req.end(body)
  })

type Member = [path: string, type: TarEntryType, content?: string, mode?: number]
/** A tar of members; the content is a link's target. */
const tarOf = (...members: Member[]): Promise<Buffer> =>
  buffer(
    packTar(
      members.map(([path, type, content = '', mode = 0o644]): TarMember => {
        const body = type === 'file' ? Buffer.from(content) : undefined
        const link = type === 'link' || type === 'symlink' ? { linkName: content } : {}
        const node = type === 'char' ? { devMajor: 1, devMinor: 7 } : {}
        return {
          entry: tarEntry({ path, type, mode, size: body?.length ?? 0, ...link, ...node }),
          ...(body ? { body } : {}),
        }
      }),
    ),
  )

test('cp while a container swaps directories, and their parents, for links out', async () => {
  const swap = (path: string, target: string): string =>
    `mv ${path} ${path}.real && ln -s ${target} ${path}; rm ${path}; mv ${path}.real ${path}`
  const program = `mkdir -p /a/b/d; echo inside > /a/b/d/f0; while :; do ${swap('/a/b/d', outside)}; ${swap('/a/b', docker.dir)}; done`
  await ok('run', '-d', '--name', 'swaps', 'busybox', 'sh', '-c', program)
  const upload = await tarOf(
    ['f0', 'file', 'from the archive', 0o4777],
    ['f1', 'symlink', '/etc/passwd'],
    ['.', 'directory', '', 0o777],
    ['sub/', 'directory', '', 0o777],
    ['f2', 'link', 'f0'],
  )
  let [read, written] = [0, 0]
  // Until both have also met the directory in its place.
  for (let round = 0; round < 60 || (round < 3000 && !(read > 0 && written > 0)); round++) {
    const [got, put] = await Promise.all([
      archive('GET', 'swaps', '/a/b/d/f0'),
      archive('PUT', 'swaps', '/a/b/d', upload),
    ])
    await Promise.all([archive('GET', 'swaps', '/a/b/outside/'), archive('PUT', 'swaps', '/a/b/outside', upload)])
    assert.ok(!got.body.includes('of the host'), 'the host was read')
    if (got.status === 200) read++
    if (put.status === 200) written++
  }
  assert.ok(read > 0 && written > 0, `${read} ${written}`)
})

test('what an image brings into an empty volume, while another container puts links there', async () => {
  imageOf('fills', (root) => {
    mkdirSync(join(root, 'data'))
    for (const name of names) writeFileSync(join(root, 'data', name), 'of the image')
  })
  const plant = names.map((name) => `ln -sf ${outside}/${name} /v/${name}`).join('; ')
  for (let round = 0; round < 3; round++) {
    const volume = `shared${round}`
    await ok(
      'run',
      '-d',
      '--name',
      `plants${round}`,
      '-v',
      `${volume}:/v`,
      'busybox',
      'sh',
      '-c',
      `while :; do for x in /v/*; do [ -e $x ] && break 2; done; done; while :; do ${plant}; done`,
    )
    await run(['run', '--rm', '-v', `${volume}:/data`, 'fills', 'true'])
    await ok('rm', '-f', `plants${round}`)
    await ok('volume', 'rm', volume)
  }
})

test('archives that name what is not theirs', async () => {
  await ok('run', '-d', '--name', 'target', '-v', `${outside}:/bound:ro`, 'busybox', 'sleep', '1000')
  const put = async (...members: Member[]) => archive('PUT', 'target', '/tmp', await tarOf(...members))
  assert.equal((await put(['../../../../../../../escaped', 'file', 'x'])).status, 400)
  assert.equal((await put(['/absolute', 'file', 'x'])).status, 200)
  assert.equal(await ok('exec', 'target', 'cat', '/tmp/absolute'), 'x')
  assert.notEqual((await put(['out', 'symlink', outside], ['out/f0', 'file', 'through a link'])).status, 500)
  assert.notEqual((await put(['hard', 'link', `../../../../../../..${outside}/f0`])).status, 200)
  assert.notEqual((await put(['up', 'symlink', '../../../../../..'], ['hard2', 'link', `up${outside}/f0`])).status, 500)
  // A directory's mode is not given to what a link in its place leads to.
  assert.equal((await put(['mode', 'symlink', outside])).status, 200)
  assert.equal((await put(['mode', 'directory', '', 0o777])).status, 200)
  assert.equal((await put(['node', 'char'])).status, 200)
  assert.match(await ok('exec', 'target', 'ls', '-l', '/tmp/node'), /^crw/)
  assert.ok(!existsSync('/escaped') && !existsSync('/absolute'))
})

test('compressed uploads are unpacked, and by no program of the container', async () => {
  const traps = ['xz', 'gzip', 'unxz', 'bzip2', 'zstd', 'tar', 'unpigz']
  imageOf('traps', (root) => {
    mkdirSync(join(root, 'usr/bin'), { recursive: true })
    for (const name of traps)
      for (const dir of ['bin', 'usr/bin']) {
        rmSync(join(root, dir, name), { force: true })
        writeFileSync(join(root, dir, name), '#!/bin/sh\necho ran > /ran\n', { mode: 0o755 })
      }
  })
  await ok('run', '-d', '--name', 'packed', 'traps', 'sleep', '1000')
  const plain = join(docker.dir, 'plain.tar')
  for (const program of ['gzip', 'bzip2', 'xz']) {
    writeFileSync(plain, await tarOf([program, 'file', `by ${program}`]))
    const { status, body } = await archive('PUT', 'packed', '/tmp', execFileSync(program, ['-c', plain]))
    assert.equal(status, 200, body)
    assert.equal(await ok('exec', 'packed', 'cat', `/tmp/${program}`), `by ${program}`)
  }
  assert.equal((await run(['exec', 'packed', 'ls', '/ran'])).code, 1)
})

test('images whose /etc/passwd, /etc/group, /dev, /proc or /sys are something else', async () => {
  imageOf('accounts', (root) => {
    rmSync(join(root, 'etc'), { recursive: true })
    mkdirSync(join(root, 'etc'))
    execFileSync('mkfifo', [join(root, 'etc/passwd')])
    execFileSync('mknod', [join(root, 'etc/group'), 'c', '1', '5'])
  })
  assert.match((await run(['run', '--rm', '-u', 'root', 'accounts', 'true'])).stderr, /unable to find user root/)
  assert.equal(
    await ok('run', '--rm', '-u', '5:6', 'accounts', 'grep', '-E', '^(Uid|Groups)', '/proc/self/status'),
    'Uid:\t5\t5\t5\t5\nGroups:\t6 ',
  )
  for (const place of ['dev', 'proc', 'sys']) {
    imageOf(`linked-${place}`, (root) => {
      rmSync(join(root, place), { recursive: true })
      symlinkSync(outside, join(root, place))
    })
    // It may start or not; what is hidden stays hidden.
    const { stdout } = await run([
      'run',
      '--rm',
      `linked-${place}`,
      'sh',
      '-c',
      'cat /proc/keys /proc/timer_list; cat /dev/f0 /sys/f0 /proc/f0; echo x > /proc/sys/kernel/hostname',
    ])
    assert.equal(stdout, '')
  }
})

test('working directories that lead to an open descriptor', async () => {
  imageOf('workdirs', (root) => {
    for (let fd = 3; fd < 12; fd++) symlinkSync(`/proc/self/fd/${fd}`, join(root, `w${fd}`))
  })
  const host = readFileSync('/etc/machine-id', { encoding: 'utf8', flag: 'a+' })
  await ok('run', '-d', '--name', 'works', 'workdirs', 'sleep', '1000')
  const look = ['sh', '-c', 'for up in . .. ../.. ../../.. ../../../..; do cat $up/etc/hostname $up/f0; ls $up; done']
  const seen: string[] = []
  for (let fd = 3; fd < 12; fd++)
    for (const cwd of [`/proc/self/fd/${fd}`, `/w${fd}`, `/proc/1/fd/${fd}/../..`]) {
      const { stdout } = await run(['exec', '-w', cwd, 'works', ...look])
      seen.push(stdout)
    }
  for (const cwd of ['/proc/self/fd/7', '/w8', '/w9/../..'])
    seen.push((await run(['run', '--rm', '-w', cwd, 'workdirs', ...look])).stdout)
  for (const stdout of seen)
    assert.ok(
      !stdout.includes('of the host') && !stdout.includes('lost+found') && (host === '' || !stdout.includes(host)),
      stdout,
    )
})

test('the runtime itself cannot be written through /proc/PID/exe', async () => {
  const binaries = ['/usr/bin/crun', '/usr/bin/conmon', '/usr/sbin/runc'].filter((path) => existsSync(path))
  const sums = () => binaries.map((path) => createHash('sha256').update(readFileSync(path)).digest('hex'))
  const was = sums()
  const script = `echo ready; while :; do for p in /proc/[0-9]*; do
    { [ /proc/self/fd/5 -ef /bin/busybox ] || { echo caught; echo x >> /proc/self/fd/5 && echo WRITTEN; }; } 5< $p/exe
  done 2>/dev/null; done`
  // With its libraries the runtime runs in the container as well, and waits there for a configuration.
  imageOf('loops', (root) => {
    for (const path of execFileSync('ldd', ['/usr/bin/crun'], { encoding: 'utf8' }).match(/\/\S+/g) ?? [])
      cpSync(realpathSync(path), join(root, path), { recursive: true })
    mkdirSync(join(root, 'bundle'))
    execFileSync('mkfifo', [join(root, 'bundle/config.json')])
    writeFileSync(join(root, 'again'), '#!/proc/self/exe\n', { mode: 0o755 })
  })
  await ok('run', '-d', '--name', 'watches', 'loops', 'sh', '-c', script)
  await run(['exec', 'watches', '/again'])
  await run(['run', '--rm', '--entrypoint', '/proc/self/exe', 'loops', '--version'])
  const waits = docker.start('exec', 'watches', '/proc/self/exe', '--root', '/tmp', 'run', '-b', '/bundle', 'x')
  const said = await until('the runtime in the container', async () => {
    const text = await ok('logs', 'watches')
    return text.includes('caught') && text
  })
  waits.kill('SIGKILL')
  assert.doesNotMatch(said, /WRITTEN/)
  assert.deepEqual(sums(), was)
})

test('no descriptor of ours is open in a container, an exec, a check or a build step', async () => {
  const list = 'ls /proc/self/fd | tr "\\n" " "'
  const few = /^0 1 2 3 $/
  assert.match(await ok('run', '--name', 'fds', 'busybox', 'sh', '-c', list), few)
  await ok(
    'run',
    '-d',
    '--name',
    'open',
    '--health-cmd',
    `${list} > /checked`,
    '--health-interval',
    '100ms',
    'busybox',
    'sleep',
    '1000',
  )
  assert.match(await ok('exec', 'open', 'sh', '-c', list), few)
  assert.match((await docker.atTerminal(['exec', '-it', 'open', 'sh', '-c', list], [])).output, /^0 1 2 3 $/)
  assert.match(await until('a check', () => run(['exec', 'open', 'cat', '/checked']).then(({ stdout }) => stdout)), few)
  const built = await collect('docker', ['build', '-'], {
    env: { ...env, DOCKER_BUILDKIT: '0' },
    input: `FROM busybox\nRUN ${list}\n`,
  })
  assert.match(built.stdout, /^0 1 2 3 /m)
})

test('mounts over what is hidden, and places that are not a volume’s', async () => {
  for (const target of ['/proc/sys', '/proc/self/attr', '/proc/keys', '/tmp/../proc/sysrq-trigger'])
    assert.match(
      await fails(125, 'run', '--rm', '-v', `${outside}:${target}`, 'busybox', 'true'),
      /cannot be mounted because it is inside \/proc/,
    )
  assert.match(
    await fails(125, 'run', '--rm', '-v', `${outside}:/proc`, 'busybox', 'true'),
    /"\/proc" cannot be mounted because it is not of type proc/,
  )
  assert.match(
    await fails(125, 'run', '--rm', '--tmpfs', '/proc', 'busybox', 'true'),
    /"\/proc" cannot be mounted because it is not of type proc/,
  )
  for (const name of ['..', '../x', 'a/b', '.hidden', 'a\nb'])
    assert.match(
      (await docker.api('POST', '/volumes/create', { Name: name })).body,
      /includes invalid characters for a local volume name/,
    )
  const volume = (more: string) => [
    'run',
    '--rm',
    '--mount',
    `type=volume,src=sub,dst=/d,${more}`,
    'busybox',
    'cat',
    '/d/f0',
    '/d',
  ]
  await ok(
    'run',
    '--rm',
    '-v',
    'sub:/v',
    'busybox',
    'sh',
    '-c',
    `ln -s ${outside} /v/link; ln -s / /v/root; ln -s ../../../../../.. /v/up; mkdir -p /v/deep; ln -s ${outside} /v/deep/er`,
  )
  for (const path of ['link', 'deep/er', '../../../../..', `root${outside}`, `up${outside}`, '/etc', 'link/f0']) {
    const { stdout, code } = await run(volume(`volume-subpath=${path}`))
    assert.ok(code !== 0 && !stdout.includes('of the host'), `${path}: ${stdout}`)
  }
  await ok('volume', 'rm', 'sub')
})

test('a volume at /dev, in which another container swaps null, tty and console for links', async () => {
  const hidden = ['/proc/keys', '/proc/timer_list'].filter((path) => existsSync(path))
  assert.ok(hidden.length > 0)
  const pattern = '/proc/sys/kernel/core_pattern'
  const before = readFileSync(pattern, 'utf8')
  // What hides a path, and where it comes from: the volume's own null would do, and so would what it is a link to.
  const look = `for f in ${hidden.join(' ')}; do stat -c '%F %t:%T' $f; cat $f | wc -c; done
    grep -E ' (${hidden.join('|')}|${pattern}) ' /proc/self/mountinfo | grep -v ' /null ' | sed 's/^/from elsewhere: /'
    echo x 2>/dev/null >${pattern} && echo written; true`
  const expected = hidden.map(() => 'character special file 1:3\n0\n').join('')
  const node = (name: string) => `busybox mknod /v/next c 1 3; busybox mv -f /v/next /v/${name}`
  await ok('run', '--rm', '-v', 'devices:/v', 'busybox', 'sh', '-c', node('null'))
  const swap = `while :; do for n in null tty console; do for t in ${pattern} ${outside}/f0 /etc/passwd; do
    ln -s $t /v/next; busybox mv -f /v/next /v/$n; ${node('$n')}; done; done; done`
  await ok('run', '-d', '--name', 'swapping', '-v', 'devices:/v', 'busybox', 'sh', '-c', swap)
  // Into a file: where the container's own null is no device, the runtime takes it for the process's output, too.
  const seen = join(docker.dir, 'seen')
  mkdirSync(seen)
  let started = 0
  for (let i = 0; i < 40 && started < 8; i++) {
    const script = `{ ${look}; } >/seen/${i}`
    const { code, stderr } = await run([
      'run',
      '--rm',
      '-v',
      'devices:/dev',
      '-v',
      `${seen}:/seen`,
      'busybox',
      'sh',
      '-c',
      script,
    ])
    // Where the runtime meets a link it gives up.
    if (code !== 0) assert.match(stderr, /failed to create task/)
    else assert.equal(readFileSync(join(seen, String(i)), 'utf8'), expected)
    if (code === 0) started++
    else assert.ok(!existsSync(join(seen, String(i))))
  }
  assert.ok(started > 0, 'no container was started at all')
  await ok('rm', '-f', 'swapping')
  await ok('volume', 'rm', 'devices')
  assert.equal(readFileSync(pattern, 'utf8'), before)
})

test('newlines do not write lines of their own', async () => {
  const create = (more: object) =>
    docker.api('POST', '/containers/create', {
      Image: 'busybox',
      Cmd: ['cat', '/etc/hosts', '/etc/resolv.conf', '/etc/hostname'],
      ...more,
    })
  assert.equal(
    (await docker.api('POST', `/containers/create?name=${encodeURIComponent('a\nb')}`, { Image: 'busybox' })).status,
    400,
  )
  const line = '\n6.6.6.6 evil.example'
  for (const more of [
    { Hostname: `h${line}` },
    { Hostname: 'h', Domainname: `d${line}` },
    { HostConfig: { ExtraHosts: [`x:1.2.3.4${line}`] } },
    { HostConfig: { ExtraHosts: [`x${line} y:1.2.3.4`] } },
    { HostConfig: { DnsSearch: [`d${line}`] } },
    { HostConfig: { DnsOptions: [`o${line}`] } },
    { HostConfig: { Dns: [`1.1.1.1${line}`] } },
  ]) {
    const made = await create(more)
    if (made.status === 201) {
      const { Id } = JSON.parse(made.body) as { Id: string }
      const { stdout } = await run(['start', '-a', Id])
      assert.doesNotMatch(stdout, /^6\.6\.6\.6/m, JSON.stringify(more))
    } else assert.equal(made.status, 400, made.body)
  }
  await ok('run', '-d', '--name', 'lines', '--label', `l=1${line}`, '-e', `E=1${line}`, 'busybox', 'sleep', '1000')
  assert.equal(await ok('exec', 'lines', 'sh', '-c', 'echo "$E"'), `1${line}`)
  assert.equal(await ok('inspect', '-f', '{{index .Config.Labels "l"}}', 'lines'), `1${line}`)
})

test('our own directories, bound into a container: nothing of it is lost when the container goes', async () => {
  await ok('volume', 'create', 'kept')
  await ok('run', '--rm', '-v', 'kept:/v', 'busybox', 'touch', '/v/file')
  for (const mode of ['rw', 'rshared', 'ro'])
    await ok(
      'run',
      '-d',
      '--name',
      `own-${mode}`,
      '-v',
      `${home}/lib:/lib-of-ours:${mode}`,
      '-v',
      `${home}/run:/run-of-ours:${mode}`,
      '-v',
      '/:/host:ro',
      'busybox',
      'sleep',
      '1000',
    )
  await ok('rm', '-f', 'own-rw', 'own-rshared', 'own-ro')
  assert.equal(await ok('run', '--rm', '-v', 'kept:/v', 'busybox', 'ls', '/v'), 'file')
  await ok('volume', 'rm', 'kept')
})

test('the socket: who may open it, and what it takes', async () => {
  const { mode, gid } = statSync(docker.instance.dockerSocket)
  assert.equal(mode & 0o777, 0o660)
  const group = /^docker:[^:]*:(\d+):/m.exec(readFileSync('/etc/group', 'utf8'))?.[1]
  assert.equal(gid, Number(group ?? 0))
  for (const dir of ['lib', 'run', 'log']) assert.equal(statSync(join(home, dir)).mode & 0o77, 0, dir)
  for (const file of ['lib/slipway.db', 'lib/kubeconfig', 'run/control.sock'])
    assert.equal(statSync(join(home, file)).mode & 0o77, 0, file)
  const huge = await docker.api('POST', '/containers/create', { Image: 'x'.repeat(80 << 20) })
  assert.deepEqual([huge.status, huge.body], [400, '{"message":"http: request body too large"}\n'])
  assert.equal(await ok('version', '--format', '{{.Server.Os}}'), 'linux')
})
