/** Git repositories as contexts and as sources of ADD, from a server on the loopback. */
import assert from 'node:assert/strict'
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { freePort } from '../root/instance.ts'
import { startBuildx } from './buildx-kit.ts'

const buildx = startBuildx(true)
let server: ChildProcess | undefined
let url = ''
after(() => {
  server?.kill()
  buildx.stop()
})
const { ok, run, project, dir } = buildx
const repository = join(dir, 'served/app')

const git = (...args: string[]): string =>
  execFileSync('git', ['-c', 'user.name=t', '-c', 'user.email=t@t', ...args], {
    cwd: repository,
    encoding: 'utf8',
  }).trim()
const commit = (files: Record<string, string>): string => {
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(join(repository, path, '..'), { recursive: true })
    writeFileSync(join(repository, path), text)
  }
  git('add', '-A')
  git('commit', '-q', '-m', 'x')
  return git('rev-parse', 'HEAD')
}
const reachable = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => {
      socket.destroy()
      resolve(true)
    })
    socket.on('error', () => resolve(false))
  })

before(async () => {
  mkdirSync(repository, { recursive: true })
  git('init', '-q', '-b', 'main')
  git('config', 'uploadpack.allowAnySHA1InWant', 'true')
  const port = await freePort()
  server = spawn(
    'git',
    [
      'daemon',
      '--export-all',
      '--reuseaddr',
      '--listen=127.0.0.1',
      `--port=${port}`,
      `--base-path=${join(dir, 'served')}`,
    ],
    { stdio: 'ignore' },
  )
  url = `git://127.0.0.1:${port}/app`
  for (let i = 0; !(await reachable(port)); i++) {
    assert.ok(i < 100, 'git daemon does not come up')
    await sleep(50)
  }
})

/** The file at `path` in what is built. */
const built = async (args: string[], path: string): Promise<string> => {
  const tar = join(dir, 'out.tar')
  await ok(['buildx', 'build', '-o', `type=tar,dest=${tar}`, ...args])
  return execFileSync('tar', ['-xOf', tar, path], { encoding: 'utf8' })
}

test('ADD of a repository: branch, commit, subdirectory, checksum; a new commit is seen', async () => {
  const first = commit({ 'sub/file': 'one\n', '.gitattributes': 'sub export-ignore\n' })
  const dockerfile = (flags: string, ref: string): string =>
    project('add', { Dockerfile: `FROM scratch\nADD ${flags} ${url}${ref} /src\n` })
  assert.equal(await built([dockerfile('', '#main')], 'src/sub/file'), 'one\n')
  const second = commit({ 'sub/file': 'two\n' })
  assert.equal(await built([dockerfile('', '#main')], 'src/sub/file'), 'two\n')
  assert.equal(await built([dockerfile('', '')], 'src/sub/file'), 'two\n')
  assert.equal(await built([dockerfile('', `#${first}`)], 'src/sub/file'), 'one\n')
  assert.equal(await built([dockerfile('', `#${first.slice(0, 10)}:sub`)], 'src/file'), 'one\n')
  assert.equal(await built([dockerfile(`--checksum=${second}`, '#main')], 'src/sub/file'), 'two\n')
  const wrong = await run(['build', dockerfile(`--checksum=${first}`, '#main')])
  assert.equal(wrong.code, 1)
  assert.match(wrong.all, new RegExp(`expected checksum to match ${first}, got ${second}`))
  symlinkSync(join(dir, 'served'), join(repository, 'out'))
  symlinkSync('sub', join(repository, 'in'))
  commit({})
  const outside = await run(['build', dockerfile('', '#main:out')])
  assert.match(outside.all, /out: not found in the repository/, 'a link of the repository leads out of it')
  assert.equal(await built([dockerfile('', '#main:in')], 'src/file'), 'two\n')
  for (const path of ['file', 'repository.git']) {
    const secret = project('secret', { Dockerfile: `FROM scratch\nADD http://bob:word@127.0.0.1:1/${path} /x\n` })
    const { all } = await run(['build', secret])
    assert.match(all, /failed to load (git: )?.*http:\/\/xxxxx:xxxxx@127/)
    assert.deepEqual(
      all.split('\n').filter((line) => line.includes('bob') && !line.includes('ADD')),
      [],
    )
  }
  const missing = await run(['build', dockerfile('', '#nothere')])
  assert.match(missing.all, /failed to load git:.*#nothere: .*nothere/)
})

test('--keep-git-dir, submodules, and the address as a query', async () => {
  const library = join(dir, 'served/library')
  execFileSync('git', ['init', '-q', '-b', 'main', library])
  writeFileSync(join(library, 'code'), 'of the library\n')
  const inLibrary = ['-C', library, '-c', 'user.name=t', '-c', 'user.email=t@t']
  execFileSync('git', [...inLibrary, 'add', '-A'])
  execFileSync('git', [...inLibrary, 'commit', '-q', '-m', 'x'])
  git('-c', 'protocol.git.allow=always', 'submodule', '--quiet', 'add', url.replace(/app$/, 'library'), 'library')
  const head = commit({ 'sub/file': 'three\n' })
  git('tag', 'v3')
  const add = (flags: string, address: string): string =>
    project('keep', { Dockerfile: `FROM scratch\nADD ${flags} ${address} /src\n` })
  const tar = join(dir, 'kept.tar')
  const listed = async (flags: string, address: string): Promise<string> => {
    await ok(['buildx', 'build', '-o', `type=tar,dest=${tar}`, add(flags, address)])
    return execFileSync('tar', ['-tf', tar], { encoding: 'utf8' })
  }
  const plain = await listed('', url)
  assert.match(plain, /^src\/library\/code$/m)
  assert.doesNotMatch(plain, /\.git(\/|$)/m)
  assert.match(await listed('--keep-git-dir=true', url), /^src\/\.git\/HEAD$/m)
  assert.equal(execFileSync('tar', ['-xOf', tar, 'src/.git/HEAD'], { encoding: 'utf8' }).trim(), head)
  assert.match(await listed('', `${url}?keep-git-dir=1&submodules=false`), /^src\/\.git\/HEAD$/m)
  assert.doesNotMatch(await listed('', `${url}?submodules=false`), /library\/code/)
  assert.match(await listed('', `${url}?tag=v3&subdir=sub&commit=${head}`), /^src\/file$/m)
  const committed = Number(git('show', '-s', '--format=%ct', 'HEAD'))
  const timeOf = async (query: string): Promise<number> => {
    await listed('', url + query)
    const said = execFileSync('tar', ['--utc', '--full-time', '-tvf', tar, 'src/sub/file'], { encoding: 'utf8' })
    return Date.parse(`${/(\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d)/.exec(said)![0].replace(' ', 'T')}Z`) / 1000
  }
  assert.deepEqual([await timeOf(''), await timeOf('?mtime=commit')], [committed, committed])
  assert.ok((await timeOf('?mtime=checkout')) > committed)
  for (const [query, message] of [
    ['mtime=never', 'invalid mtime value: "never"'],
    ['tag=a&branch=b', 'branch conflicts with tag'],
    ['what=1', 'unexpected query "what"'],
    [`branch=main&checksum=${'0'.repeat(40)}`, 'expected checksum to match 0000'],
  ])
    assert.match((await run(['buildx', 'build', add('', `${url}?${query}`)])).all, new RegExp(message!))
})

test('a repository whose objects go by SHA-256, which a server of plain files has', async () => {
  const own = join(dir, 'sha256')
  const run = (...args: string[]): void =>
    void execFileSync('git', ['-C', own, '-c', 'user.name=t', '-c', 'user.email=t@t', ...args])
  execFileSync('git', ['init', '-q', '--object-format=sha256', own])
  writeFileSync(join(own, 'Dockerfile'), 'FROM scratch\nCOPY said /\n')
  writeFileSync(join(own, 'said'), 'first')
  run('add', '-A')
  run('commit', '-q', '-m', 'x')
  run('branch', 'first')
  writeFileSync(join(own, 'said'), 'second')
  run('commit', '-q', '-am', 'y')
  run('update-server-info')
  const files = createServer((request, response) => {
    const path = join(own, '.git', decodeURIComponent(request.url!.split('?')[0]!).replace('/repo.git/', ''))
    if (existsSync(path)) response.end(readFileSync(path))
    else response.writeHead(404).end()
  })
  await new Promise<void>((resolve) => files.listen(0, '127.0.0.1', resolve))
  try {
    const at = `http://127.0.0.1:${(files.address() as AddressInfo).port}/repo.git`
    assert.equal(await built([`${at}#first`], 'said'), 'first')
    assert.equal(await built([at], 'said'), 'second')
  } finally {
    files.close()
  }
})

test('a repository as the context', async () => {
  commit({ 'image/Dockerfile': 'FROM scratch\nCOPY data /data\n', 'image/data': 'from git\n' })
  assert.equal(await built([`${url}#main:image`], 'data'), 'from git\n')
})

test('SOURCE_DATE_EPOCH is that of the commit, where it names the context or a stage that fetches it', async () => {
  process.env.GIT_COMMITTER_DATE = '2020-02-02T02:02:02Z'
  try {
    commit({ 'dated/Dockerfile': 'FROM scratch\nCOPY data /data\nARG SOURCE_DATE_EPOCH\n', 'dated/data': 'dated\n' })
  } finally {
    delete process.env.GIT_COMMITTER_DATE
  }
  const created = async (...args: string[]): Promise<string> => {
    await ok(['buildx', 'build', '-t', 'dated', ...args])
    return (await ok(['image', 'inspect', '-f', '{{.Created}}', 'dated'])).stdout.trim().replace('.000Z', 'Z')
  }
  const context = ['--build-arg', 'SOURCE_DATE_EPOCH=context']
  assert.equal(await created(...context, `${url}#main:dated`), '2020-02-02T02:02:02Z')
  const local = project('dated', {
    Dockerfile: `ARG SOURCE_DATE_EPOCH=source\nFROM scratch AS source\nARG WHERE=/\nADD ${url}#main $WHERE\nFROM scratch\nCOPY busybox /\n`,
  })
  assert.equal(await created(local), '2020-02-02T02:02:02Z')
  assert.equal(await created('--build-arg', 'SOURCE_DATE_EPOCH=0', local), '1970-01-01T00:00:00Z')
  // What is here has no time of its own: as if nothing had been said.
  const now = Date.now()
  assert.ok(Date.parse(await created('--no-cache', ...context, local)) >= now - 1000)
})

/** Repository and files of `root`, to those who say `authorization` only; what others were asked for. */
const startPrivate = async (root: string, authorization: string) => {
  const refused: string[] = []
  const http = createServer((request, response) => {
    const path = new URL(request.url!, 'http://x').pathname
    if (request.headers.authorization?.toLowerCase() !== authorization.toLowerCase()) {
      refused.push(path)
      response.writeHead(401).end()
      return
    }
    const file = join(root, path)
    if (statSync(file, { throwIfNoEntry: false })?.isFile()) response.end(readFileSync(file))
    else response.writeHead(404).end()
  })
  await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve))
  return { host: `127.0.0.1:${(http.address() as AddressInfo).port}`, refused, close: () => http.close() }
}

test('private repositories and files: secrets with the names that BuildKit knows', async () => {
  const root = join(dir, 'private')
  mkdirSync(join(root, 'sub'), { recursive: true })
  const own = (...args: string[]): unknown =>
    execFileSync('git', ['-C', root, '-c', 'user.name=t', '-c', 'user.email=t@t', ...args])
  own('init', '-q', '-b', 'main')
  writeFileSync(join(root, 'Dockerfile'), 'FROM scratch\nCOPY data /data\n')
  writeFileSync(join(root, 'data'), 'secret data\n')
  writeFileSync(join(root, 'sub/Dockerfile'), 'FROM scratch\nCOPY own /own\n')
  writeFileSync(join(root, 'sub/own'), 'of the directory\n')
  symlinkSync('docker-bake.hcl', join(root, 'linked.hcl'))
  writeFileSync(
    join(root, 'docker-bake.hcl'),
    'target "default" {}\ntarget "sub" {\n  context = "sub"\n}\ntarget "local" {\n  context = BAKE_CMD_CONTEXT\n}\n',
  )
  own('add', '-A')
  own('commit', '-q', '-m', 'x')
  own('update-server-info')
  const token = `Basic ${Buffer.from('x-access-token:t0ken').toString('base64')}`
  const server = await startPrivate(root, token)
  const files = await startPrivate(root, 'Bearer f1le')
  try {
    const address = `http://${server.host}/.git`
    const secret = (id: string, value: string) => ['--secret', `id=${id},src=${join(dir, value)}`]
    for (const [name, value] of Object.entries({ TOKEN: 't0ken', HEADER: token, FILE: 'f1le' }))
      writeFileSync(join(dir, name), value)
    // As a context, by any of the names; a token for another host is not for this one.
    assert.equal(await built([...secret('GIT_AUTH_TOKEN', 'TOKEN'), address], 'data'), 'secret data\n')
    const headers = [...secret(`GIT_AUTH_HEADER.${server.host}`, 'HEADER'), ...secret('GIT_AUTH_TOKEN', 'FILE')]
    assert.equal(await built([...headers, `${address}#main:sub`], 'own'), 'of the directory\n')
    const refused = await run(['buildx', 'build', ...secret('GIT_AUTH_TOKEN.elsewhere', 'TOKEN'), address])
    assert.equal(refused.code, 1)
    assert.match(refused.all, /Authentication failed|could not read Username/)
    // ADD of a repository, and of a file from a server that wants a token of its own.
    const add = project('private-add', {
      Dockerfile: `FROM scratch\nADD ${address} /src/\nADD http://${files.host}/data /file\n`,
    })
    const both = [...secret('GIT_AUTH_TOKEN', 'TOKEN'), ...secret('HTTP_AUTH_TOKEN_127.0.0.1', 'FILE'), add]
    assert.equal(await built(both, 'src/data'), 'secret data\n')
    assert.deepEqual(files.refused, [])
    // Bake reads its files there, and builds from there, from a directory of it, or from here.
    const out = join(dir, 'baked')
    const bake = (...args: string[]) =>
      run(['buildx', 'bake', '--set', `*.output=type=local,dest=${out}`, ...args], {
        cwd: project('baker', { Dockerfile: 'FROM scratch\nCOPY here /here\n', here: 'here\n' }),
        env: { BUILDX_BAKE_GIT_AUTH_TOKEN: 't0ken', BUILDX_BAKE_ENTITLEMENTS_FS: '0' },
      })
    for (const [args, file] of [
      [[address], 'data'],
      [[`${address}#main`, '-f', 'linked.hcl', 'sub'], 'own'],
      [[address, 'local', '-f', 'docker-bake.hcl', '--set', 'local.dockerfile=cwd://Dockerfile'], 'here'],
    ] as const) {
      const baked = await bake(...args)
      assert.equal(baked.code, 0, baked.all)
      assert.ok(existsSync(join(out, file)), baked.all)
    }
    assert.match((await bake(address, '-f', 'none.hcl')).all, /ERROR: failed to solve: open none.hcl: no such file/)
    // The address as a query, which the newest buildx may send as a definition of its own.
    const asked = ['build', '-o', `type=local,dest=${out}2`, ...secret('GIT_AUTH_TOKEN', 'TOKEN')]
    await ok(['buildx', ...asked, `${address}?ref=main&subdir=sub`], {
      env: { BUILDX_SEND_GIT_QUERY_AS_INPUT: 'true' },
    })
    assert.equal(readFileSync(join(`${out}2`, 'own'), 'utf8'), 'of the directory\n')
  } finally {
    server.close()
    files.close()
  }
})
