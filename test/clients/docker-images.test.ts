/** Images: import, tag, rmi, save, load, commit, history, export, diff, cp, and the classic build. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { type IncomingMessage, request } from 'node:http'
import { join } from 'node:path'
import { after, afterEach, test } from 'node:test'
import { startDocker } from './docker-kit.ts'

const docker = startDocker()
after(() => docker.stop())
afterEach(() => docker.clean())
const { ok, fails, dir } = docker
const members = (tar: string): string[] => execFileSync('tar', ['tf', tar], { encoding: 'utf8' }).trim().split('\n')

const context = join(dir, 'context')
mkdirSync(context)
const file = (name: string, text: string): void => writeFileSync(join(context, name), text)
const build = async (...args: string[]): Promise<{ code: number; out: string; err: string }> => {
  const env = { ...docker.instance.env, DOCKER_BUILDKIT: '0', BUILDKIT_PROGRESS: 'plain' }
  const ran = await docker.run(['build', ...args, context], { env })
  const ids = (text: string): string => text.replace(/\b[0-9a-f]{12}\b/g, 'ID')
  const noise =
    /^(DEPRECATED: The legacy builder|.*Install the buildx|.*docs.docker.com\/go\/buildx|Sending build context|\s*$)/
  return {
    code: ran.code,
    out: ids(ran.stdout)
      .split('\n')
      .filter((line) => !noise.test(line))
      .join('\n'),
    err: ran.stderr,
  }
}

test('build writes what the classic builder writes', async () => {
  file('Dockerfile', 'FROM busybox\nRUN echo hello > /f && echo out\nCOPY a /a\nENV X=y\nCMD ["cat", "/f"]\n')
  file('a', 'A\n')
  const first = await build('-t', 'b1')
  assert.equal(
    first.out,
    `Step 1/5 : FROM busybox
 ---> ID
Step 2/5 : RUN echo hello > /f && echo out
 ---> Running in ID
out
 ---> Removed intermediate container ID
 ---> ID
Step 3/5 : COPY a /a
 ---> ID
Step 4/5 : ENV X=y
 ---> ID
Step 5/5 : CMD ["cat", "/f"]
 ---> ID
Successfully built ID
Successfully tagged b1:latest`,
    first.err,
  )
  const second = await build('-t', 'b1')
  assert.match(
    second.out,
    /Step 2\/5 : RUN .*\n ---> Using cache\n ---> ID\nStep 3\/5 : COPY a \/a\n ---> Using cache\n/,
  )
  assert.equal(await ok('run', '--rm', 'b1'), 'hello')
  const env = { ...docker.instance.env, DOCKER_BUILDKIT: '0' }
  const quiet = await docker.run(['build', '-q', context], { env })
  assert.match(quiet.stdout, /^sha256:[0-9a-f]{64}\n$/)
  assert.equal(quiet.stdout.trim(), await ok('inspect', '-f', '{{.Id}}', 'b1'))
  const tar = execFileSync('tar', ['-C', context, '--transform', 's,Dockerfile,dockerfile,', '-c', 'Dockerfile', 'a'])
  assert.match((await docker.run(['build', '-q', '-'], { env, input: tar })).stdout, /^sha256:/)
  // The Dockerfile from standard input: then the client leaves out the end of the context's archive.
  const input = 'FROM busybox\nCOPY a /a\nRUN grep -q one /etc/hosts && grep -q two /etc/hosts\n'
  const hosts = ['--add-host', 'one:127.0.0.1', '--add-host', 'two:127.0.0.1']
  const typed = await docker.run(['build', '-q', '-f', '-', ...hosts, context], { env, input })
  assert.match(typed.stdout, /^sha256:/, typed.stderr)
})

test('stages, labels, several tags; stages that are not needed', async () => {
  file(
    'Multi',
    'FROM busybox AS unused\nRUN false\nFROM busybox AS one\nRUN echo 1 > /x\nFROM busybox\nCOPY --from=one /x /y\n',
  )
  const { code, out } = await build('-f', `${context}/Multi`, '-t', 'm:1', '-t', 'm:2', '--label', 'l=m')
  assert.equal(code, 0, out)
  assert.deepEqual(
    out.match(/^Step \d\/6/gm),
    [1, 2, 3, 4, 5, 6].map((n) => `Step ${n}/6`),
  )
  assert.equal(await ok('run', '--rm', 'm:2', 'cat', '/y'), '1')
  assert.equal(await ok('inspect', '-f', '{{.Config.Labels.l}}', 'm:1'), 'm')
})

test('failing builds: a command, the syntax, a missing file, a missing Dockerfile', async () => {
  file('Bad', 'FROM busybox\nRUN echo before; exit 3\n')
  const bad = await build('-f', `${context}/Bad`)
  assert.equal(bad.code, 3)
  assert.match(bad.out, /Step 2\/2 : RUN echo before; exit 3\n ---> Running in ID\nbefore$/)
  assert.match(bad.err, /The command '\/bin\/sh -c echo before; exit 3' returned a non-zero code: 3/)
  file('Syntax', 'FROM busybox\nBOGUS x\n')
  assert.match(
    (await build('-f', `${context}/Syntax`)).err,
    /Error response from daemon: dockerfile parse error on line 2: unknown instruction: BOGUS/,
  )
  file('Missing', 'FROM busybox\nCOPY nosuch /\n')
  assert.match((await build('-f', `${context}/Missing`)).err, /"\/nosuch": not found/)
  assert.match((await build('--target', 'nosuch')).err, /target stage "nosuch" could not be found/)
})

test('tag, rmi, images, history', async () => {
  await ok('tag', 'busybox', 'foo/bar:v1')
  assert.match(await fails(1, 'tag', 'nosuch', 'x'), /No such image: nosuch/)
  assert.match(await fails(1, 'pull', 'scratch'), /'scratch' is a reserved name/)
  // A tag apart counts more than one in the name.
  assert.equal((await docker.api('POST', '/images/busybox/tag?repo=apart:1&tag=2')).status, 201)
  assert.match(await ok('rmi', 'apart:2'), /^Untagged: apart:2$/)
  const { body, status } = await docker.api('POST', '/images/busybox/tag?repo=apart&tag=.2')
  assert.deepEqual([status, JSON.parse(body).message], [400, 'invalid tag format'])
  assert.match(await fails(1, 'images', '--filter', 'reference=['), /syntax error in pattern/)
  assert.match(
    await fails(1, 'import', join(dir, 'busybox.tar'), `x@sha256:${'a'.repeat(64)}`),
    /cannot import digest reference/,
  )
  assert.equal((await docker.run(['push', 'no.such/name:1'])).stdout, 'The push refers to repository [no.such/name]\n')
  assert.match(await fails(1, 'tag', 'busybox', 'sha256:x'), /ambiguous tag using digest algorithm as name/)
  assert.match(
    await fails(1, 'import', '--platform', 'macos', join(dir, 'busybox.tar'), 'm'),
    /system is not supported/,
  )
  assert.equal(await ok('images', '--filter', 'reference=foo/*', '--format', '{{.Repository}}:{{.Tag}}'), 'foo/bar:v1')
  assert.equal(await ok('images', '-q', 'bar'), '')
  assert.match(await fails(1, 'images', '--filter', 'dangling=maybe'), /invalid filter 'dangling=\[maybe\]'/)
  assert.equal(await ok('rmi', 'foo/bar:v1'), 'Untagged: foo/bar:v1')
  assert.match(await fails(1, 'rmi', 'nosuch'), /No such image: nosuch/)
  assert.equal(await ok('history', '--format', '{{.Comment}}', 'busybox'), 'Imported from -')
  await ok('tag', 'busybox', 'used')
  await ok('rmi', 'used')
  const id = await ok('import', join(dir, 'busybox.tar'), 'mine', '--change', 'ENV N=1', '-m', 'said')
  assert.match(id, /^sha256:[0-9a-f]{64}$/)
  await ok('run', '-d', '--name', 'user', 'mine', 'sleep', '100')
  assert.match(await fails(1, 'rmi', 'mine'), /conflict: unable to (remove|delete).*container/)
  await ok('rmi', '-f', 'mine')
  assert.equal(await ok('ps', '--format', '{{.Image}}'), id.slice(7, 19))
})

test('an image without layers comes and goes', async () => {
  const built = await docker.run(['build', '-q', '-'], {
    input: 'FROM scratch\nLABEL a=b\n',
    env: { ...docker.instance.env, DOCKER_BUILDKIT: '0' },
  })
  const id = built.stdout.trim()
  const files = join(dir, 'bare')
  mkdirSync(files)
  const config = JSON.stringify({
    architecture: 'amd64',
    os: 'linux',
    config: { Labels: { c: 'd' } },
    rootfs: { type: 'layers', diff_ids: null },
  })
  writeFileSync(join(files, 'config.json'), config)
  writeFileSync(
    join(files, 'manifest.json'),
    JSON.stringify([{ Config: 'config.json', RepoTags: ['bare:1'], Layers: null }]),
  )
  execFileSync('tar', ['-C', files, '-cf', `${files}.tar`, '.'])
  await ok('load', '-i', `${files}.tar`)
  assert.equal(await ok('inspect', '-f', '{{json .RootFS.Layers}} {{.Config.Labels.c}}', 'bare:1'), '[] d')
  await ok('rmi', 'bare:1', id)
})

test('save and load, several at once; damaged archives are refused', async () => {
  await ok('tag', 'busybox', 'other:2')
  const archive = join(dir, 'saved.tar')
  await ok('save', '-o', archive, 'busybox', 'other:2')
  const names = members(archive)
  assert.ok(names.includes('manifest.json') && names.includes('index.json'), names.join())
  assert.deepEqual(
    JSON.parse(execFileSync('tar', ['xOf', archive, 'manifest.json'], { encoding: 'utf8' }))
      .flatMap((m: { RepoTags: string[] }) => m.RepoTags)
      .sort(),
    ['busybox:latest', 'other:2'],
  )
  const before = await ok('inspect', '-f', '{{.Id}}', 'busybox')
  await ok('rmi', 'other:2', 'busybox')
  const loaded = await ok('load', '-i', archive)
  assert.match(loaded, /Loaded image: busybox:latest/)
  assert.match(loaded, /Loaded image: other:2/)
  assert.equal(await ok('inspect', '-f', '{{.Id}}', 'busybox'), before)
  // What refuses a request reads on: the client may look at nothing before it has sent everything.
  const path = '/images/load?platform=bogus'
  const refused = request({ socketPath: docker.instance.dockerSocket, path, method: 'POST', timeout: 20_000 })
  const sent = once(refused, 'finish')
  refused.on('timeout', () => refused.destroy(new Error('it was not read')))
  const answered = once(refused, 'response')
  refused.end(Buffer.alloc(8 << 20))
  const [answer] = (await answered) as [IncomingMessage]
  answer.resume()
  await sent
  assert.equal(answer.statusCode, 400)
  file('junk', 'this is no archive')
  assert.equal((await docker.run(['load', '-i', join(context, 'junk')])).code, 1)
  assert.match(await fails(1, 'save', '-o', join(dir, 'x.tar'), 'nosuch'), /nosuch/)
})

test('the same changes, and none, committed on different images are images of their own', async () => {
  const archive = join(dir, 'own.tar')
  for (const which of ['one', 'two']) {
    const context = `FROM busybox\nRUN echo ${which} > /which\n`
    const built = await docker.run(['build', '-t', `base-${which}`, '-'], {
      input: context,
      env: { ...docker.instance.env, DOCKER_BUILDKIT: '0' },
    })
    assert.equal(built.code, 0, built.stderr)
    await ok('create', '--name', `unchanged-${which}`, `base-${which}`, 'true')
    await ok('commit', `unchanged-${which}`, `unchanged-${which}`)
    await ok('run', '--name', `changed-${which}`, `base-${which}`, 'sh', '-c', 'touch -d @1 /same /')
    await ok('commit', `changed-${which}`, `changed-${which}`)
    assert.equal(await ok('run', '--rm', `unchanged-${which}`, 'cat', '/which'), which)
    assert.equal(await ok('run', '--rm', `changed-${which}`, 'cat', '/which', '/same'), which)
  }
  // The other way round as well: of what was committed nothing gets below an image that begins with the same layer.
  await ok('save', '-o', archive, 'changed-two')
  const layers = JSON.parse(await ok('image', 'inspect', '-f', '{{json .RootFS.Layers}}', 'changed-two')) as string[]
  const alone = join(dir, 'alone')
  mkdirSync(alone)
  execFileSync('tar', ['-xf', archive, '-C', alone, `blobs/sha256/${layers.at(-1)!.slice(7)}`])
  await ok('import', join(alone, 'blobs/sha256', layers.at(-1)!.slice(7)), 'alone')
  await ok('create', '--name', 'alone', 'alone', 'x')
  const exported = join(dir, 'alone.tar')
  await ok('export', '-o', exported, 'alone')
  assert.doesNotMatch(execFileSync('tar', ['-tf', exported], { encoding: 'utf8' }), /which|bin\/sh/)
  await docker.clean()
  await ok('rmi', 'alone', ...['one', 'two'].flatMap((n) => [`unchanged-${n}`, `changed-${n}`, `base-${n}`]))
})

test('diff, commit and export show what the program did, and nothing of ours', async () => {
  await ok('run', '--name', 'cm', 'busybox', 'sh', '-c', 'echo x > /new; rm /bin/nc; chmod 600 /etc/group')
  assert.deepEqual((await ok('diff', 'cm')).split('\n').sort(), [
    'A /new',
    'C /bin',
    'C /etc',
    'C /etc/group',
    'D /bin/nc',
  ])
  const { body } = await docker.api('POST', '/commit?container=cm', { Labels: { a: 'b' } })
  assert.match(
    await ok('inspect', '-f', '{{.Config.Cmd}} {{.Config.Labels}}', JSON.parse(body).Id),
    /^\[sh -c .*\] map\[a:b\]$/,
  )
  await ok('commit', '-m', 'said', '-a', 'me', '--change', 'CMD ["cat","/new"]', '--change', 'ENV Q=1', 'cm', 'cmi:1')
  assert.equal(
    await ok('inspect', '-f', '{{json .Config.Cmd}} {{.Comment}} {{.Author}}', 'cmi:1'),
    '["cat","/new"] said me',
  )
  assert.equal(await ok('run', '--rm', 'cmi:1'), 'x')
  assert.equal((await docker.run(['run', '--rm', 'cmi:1', 'ls', '/bin/nc'])).code, 1)
  const layer = join(dir, 'committed.tar')
  await ok('save', '-o', layer, 'cmi:1')
  const [{ Layers }] = JSON.parse(execFileSync('tar', ['xOf', layer, 'manifest.json'], { encoding: 'utf8' }))
  const last = execFileSync('sh', ['-c', `tar xOf '${layer}' '${Layers.at(-1)}' | tar t`], { encoding: 'utf8' })
  assert.deepEqual(last.trim().split('\n').sort(), ['bin/', 'bin/.wh.nc', 'etc/', 'etc/group', 'new'])
  // Who has written nothing adds no layer.
  await ok('create', '--name', 'same', 'busybox', 'true')
  const layers = (image: string): Promise<string> => ok('inspect', '-f', '{{.RootFS.Layers}}', image)
  await ok('commit', '-m', 'nothing', 'same', 'cmi:same')
  assert.equal(await layers('cmi:same'), await layers('busybox'))
  assert.match(await ok('history', '--format', '{{.Comment}} {{.Size}}', 'cmi:same'), /^nothing 0B\n/)
  await ok('export', '-o', join(dir, 'exported.tar'), 'cm')
  const exported = members(join(dir, 'exported.tar'))
  assert.ok(exported.includes('new') && !exported.includes('bin/nc'), exported.join())
})

test('images --tree: names together, in use or not, as docker prints it', async () => {
  await ok('import', join(dir, 'busybox.tar'), 'tree:1')
  await ok('tag', 'tree:1', 'registry.example:5000/some/where/tree:2')
  const plain = (text: string): string => text.replaceAll(/\x1b\[[0-9;]*m/g, '')
  const both = async (...args: string[]): Promise<string> => {
    const theirs = plain(await ok('images', '--tree', ...args))
    assert.equal(docker.instance.slipway('image', 'ls', '--tree', ...args), `${theirs}\n`)
    return theirs
  }
  assert.match(await both(), /^registry\.example:5000\/some\/where\/tree:2\ntree:1 +[0-9a-f]{12} +[\d.]+MB +0B {8}$/m)
  assert.equal((await both('-f', 'reference=nope')).split('\n').length, 4)
  // Docker's client of today asks for it, but looks at it in images for several platforms only.
  await ok('create', '--name', 'uses', 'tree:1', 'true')
  assert.match(docker.instance.slipway('image', 'ls', '--tree', 'tree'), /^tree:1 .* 0B +U *$/m)
  await ok('rm', 'uses')
  assert.match(await fails(1, 'rmi', '--platform', 'linux/s390x', 'tree:1'), /does not match the specified platform/)
  assert.match(
    await fails(1, 'rmi', '--platform', 'linux/s390x', '--platform', 'linux/amd64', 'tree:1'),
    /multiple platforms are not supported/,
  )
  const here = await ok('version', '-f', '{{.Server.Os}}/{{.Server.Arch}}')
  assert.match(await ok('rmi', '--platform', here, 'registry.example:5000/some/where/tree:2'), /^Untagged/)
  await ok('rmi', '--platform', here, 'tree:1')
  const conflicting = await docker.api('GET', '/images/busybox/json?manifests=1&platform=%7B%22os%22%3A%22linux%22%7D')
  assert.equal(conflicting.status, 400)
})

test('what a build is asked for is looked at before anything is built', async () => {
  const refused: [string, RegExp][] = [
    ['t=BAD', /must be lowercase/],
    [`t=x@sha256:${'a'.repeat(64)}`, /build tag cannot contain a digest/],
    ['labels={"a":5}', /cannot unmarshal number into .* of type string/],
    ['buildargs=["a"]', /cannot unmarshal array/],
    ['ulimits=[{"Name":"nofile","Soft":"x"}]', /cannot unmarshal string/],
    ['cachefrom={}', /cannot unmarshal object/],
    ['cachefrom=x', /error reading cachefrom: not JSON/],
    ['shmsize=much', /invalid shmsize: much/],
  ]
  for (const [query, message] of refused) {
    const { status, body } = await docker.api('POST', `/build?${encodeURI(query)}`)
    assert.equal(status, 400, query)
    assert.match(body, message)
  }
})

test('cp in both directions, and its errors', async () => {
  await ok('run', '-d', '--name', 'cp', 'busybox', 'sleep', '1000')
  await ok('cp', join(context, 'a'), 'cp:/tmp/b')
  assert.equal(await ok('exec', 'cp', 'cat', '/tmp/b'), 'A')
  await ok('cp', context, 'cp:/tmp/')
  assert.equal(await ok('exec', 'cp', 'cat', '/tmp/context/a'), 'A')
  await ok('cp', `${context}/.`, 'cp:/tmp/flat')
  assert.equal(await ok('exec', 'cp', 'cat', '/tmp/flat/a'), 'A')
  await ok('cp', 'cp:/etc/passwd', join(dir, 'passwd'))
  assert.match(readFileSync(join(dir, 'passwd'), 'utf8'), /^root:/)
  await ok('cp', 'cp:/etc', join(dir, 'etc'))
  assert.match(readFileSync(join(dir, 'etc/group'), 'utf8'), /^root:/)
  assert.match(await fails(1, 'cp', 'cp:/nosuch', dir), /Could not find the file \/nosuch in container cp/)
  assert.match(
    await fails(1, 'cp', join(context, 'a'), 'cp:/nosuchdir/x'),
    /Could not find the file \/nosuchdir in container cp/,
  )
  assert.match(await fails(1, 'cp', 'nosuch:/x', dir), /No such container: nosuch/)
  await ok('stop', '-t', '0', 'cp')
  await ok('cp', join(context, 'a'), 'cp:/late')
  await ok('cp', 'cp:/late', join(dir, 'late'))
  assert.equal(readFileSync(join(dir, 'late'), 'utf8'), 'A\n')
})
