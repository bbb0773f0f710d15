/** COPY, ADD and WORKDIR on real snapshots. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { after, before, test } from 'node:test'
import { packTar, type TarMember, tarEntry } from '../../src/lib/tar/index.ts'
import type { BuildRoom, Outcome } from './build-room.ts'
import { contextsLeft, openBuildRoom } from './build-room.ts'

let room: BuildRoom
before(async () => {
  room = await openBuildRoom()
})
after(() => room?.close())

/** 'mode uid:gid' of paths. */
const attributes = (result: Outcome, ...paths: string[]): Promise<string[]> =>
  room.rootfs(result, (root) =>
    paths.map((path) => {
      const stat = lstatSync(join(root, path))
      return `${(stat.mode & 0o7777).toString(8)} ${stat.uid}:${stat.gid}`
    }),
  )
const listing = (result: Outcome, path: string): Promise<string[]> =>
  room.rootfs(result, (root) => readdirSync(join(root, path), { recursive: true }).map(String).sort())

test('destinations: file, directory, contents of a directory, several sources', async () => {
  const files = { a: 'A', b: 'B', 'd/x': 'X', 'd/e/y': 'Y' }
  const result = await room.build(
    'FROM base:1\nWORKDIR /w\nCOPY a one\nCOPY a two/\nCOPY d three\nCOPY a b d /four/\nCOPY a .\nCOPY [ab] five/\nCOPY a b /w\n',
    { files },
  )
  assert.deepEqual(await listing(result, '/w'), [
    'a',
    'b',
    'five',
    'five/a',
    'five/b',
    'one',
    'three',
    'three/e',
    'three/e/y',
    'three/x',
    'two',
    'two/a',
  ])
  assert.deepEqual(await listing(result, '/four'), ['a', 'b', 'e', 'e/y', 'x'])
  assert.equal(await room.file(result, '/w/one'), 'A')
  await assert.rejects(
    room.build('FROM base:1\nCOPY a b /nowhere', { files }),
    /the destination must be a directory and end with a \//,
  )
})

test('owner and mode: root by default, names from the image, numbers as they are', async () => {
  const files = { f: '1', 'd/g*': '2' }
  const result = await room.build(
    'FROM base:1\nCOPY f /plain\nCOPY --chown=app f /app\nCOPY --chown=app:staff f /staff\nCOPY --chown=55 f /number\nCOPY --chown=55:66 --chmod=0640 d /dir/\nCOPY --chmod=u=rwx,go=rX f /sym\nRUN mkdir -m 700 /kept && chown 7:7 /kept\nCOPY --chown=app d /kept/\nCOPY --chown=app f /made/up/f',
    { files },
  )
  assert.deepEqual(
    await attributes(
      result,
      '/plain',
      '/app',
      '/staff',
      '/number',
      '/dir',
      '/dir/g',
      '/sym',
      '/kept',
      '/kept/g',
      '/made',
      '/made/up/f',
    ),
    [
      '644 0:0',
      '644 1000:1001',
      '644 1000:50',
      '644 55:55',
      '640 55:66',
      '640 55:66',
      '755 0:0',
      '700 7:7',
      '755 1000:1001',
      '755 1000:1001',
      '644 1000:1001',
    ],
  )
  await assert.rejects(
    room.build('FROM base:1\nCOPY --chown=nobody-here f /x', { files }),
    /unable to find user nobody-here/,
  )
  const scratch = await room.build('FROM scratch\nCOPY --chown=12 f /x', { files })
  assert.deepEqual(await attributes(scratch, '/x'), ['644 12:12'])
})

test('a directory that is made for what is copied is 0755 of root, whatever the source is', async () => {
  const result = await room.build(
    'FROM base:1 AS s\nRUN mkdir -m 700 /s /s/sub && touch /s/f && chown 5:6 /s /s/sub /s/f\nFROM base:1\nCOPY --from=s /s /made\nCOPY --link --from=s /s/ /linked/\nRUN --mount=type=bind,from=s,source=/s,target=/m stat -c "mount %a" /m',
  )
  const found = await attributes(result, '/made', '/made/sub', '/made/f', '/linked', '/linked/sub')
  assert.deepEqual(found, ['755 0:0', '700 5:6', '644 5:6', '755 0:0', '700 5:6'])
  assert.match(result.text, /mount 700/)
})

test('times, links and hard links are kept; a link of the image is not written through', async () => {
  const directory = room.context({ 'd/f': 'F' })
  symlinkSync('f', join(directory, 'd/rel'))
  symlinkSync('/etc/passwd', join(directory, 'd/abs'))
  execFileSync('ln', [join(directory, 'd/f'), join(directory, 'd/hard')])
  utimesSync(join(directory, 'd/f'), 1_000_000, 1_000_000)
  const result = await room.build(
    'FROM base:1\nRUN mkdir /t /real && touch /real/keep && ln -s /real /t/dirlink\nCOPY d /t/\nCOPY d/f /t/dirlink/\nCOPY d/f /t/rel\n'.replace(
      'ln -s',
      '/bin/busybox ln -s',
    ),
    {
      context: { directory },
    },
  )
  await room.rootfs(result, (root) => {
    assert.equal(lstatSync(join(root, 't/f')).mtimeMs, 1_000_000_000)
    assert.equal(readlinkSync(join(root, 't/abs')), '/etc/passwd')
    assert.equal(lstatSync(join(root, 't/f')).ino, lstatSync(join(root, 't/hard')).ino)
    assert.ok(existsSync(join(root, 'real/f')), 'a directory link in the destination is followed')
    assert.ok(lstatSync(join(root, 't/rel')).isFile(), 'a link at the destination file is replaced')
  })
  const clash = 'FROM base:1\nRUN mkdir /real && /bin/busybox ln -s /real /lib\nCOPY . /\n'
  await assert.rejects(room.build(clash, { files: { 'lib/x': '1' } }), /cannot copy to non-directory: \/lib/)
  await assert.rejects(
    room.build('FROM base:1\nRUN mkdir /x\nCOPY f /y\nCOPY d/ /\n', { files: { f: '', 'd/x': '' } }),
    /cannot replace to directory \/x with file/,
  )
})

test('nothing leads out of the root filesystem or the context', async () => {
  const outside = join(room.home, 'outside')
  mkdirSync(outside)
  const directory = room.context({ f: 'F' })
  symlinkSync('/etc/hostname', join(directory, 'leak'))
  symlinkSync('..', join(directory, 'up'))
  await assert.rejects(room.build('FROM base:1\nCOPY leak /x', { context: { directory } }), /"\/leak": not found/)
  await assert.rejects(room.build('FROM base:1\nCOPY up/outside /x', { context: { directory } }), /not found/)
  const result = await room.build(
    `FROM base:1\nRUN /bin/busybox ln -s ${outside} /esc && /bin/busybox ln -s ../../../../../../..${outside} /rel\nCOPY f /esc/\nCOPY f /rel/g\n`,
    {
      context: { directory },
    },
  )
  assert.deepEqual(readdirSync(outside), [])
  assert.equal(await room.file(result, `${outside}/f`), 'F')
})

test('--parents, --exclude, .dockerignore, and --from without it', async () => {
  const files = {
    'x/a.txt': '',
    'y/b.txt': '',
    'y/c.md': '',
    '.dockerignore': '*.secret\nbuild\n!build/keep',
    'z.secret': '',
    'build/no': '',
    'build/keep': '',
  }
  const result = await room.build(
    'FROM base:1 AS src\nRUN mkdir -p /s && touch /s/z.secret /s/ok\nFROM base:1\nCOPY --parents x/a.txt y /p/\nCOPY --parents ./y/./c.md /q/\nCOPY --exclude=*.md y /r/\nCOPY . /all/\nCOPY --from=src /s /from/\nCOPY --from=0 /s/ok /idx\nCOPY --from=base:1 /etc/passwd /pw',
    { files },
  )
  assert.deepEqual(await listing(result, '/p'), ['x', 'x/a.txt', 'y', 'y/b.txt', 'y/c.md'])
  assert.deepEqual(await listing(result, '/q'), ['c.md'])
  assert.deepEqual(await listing(result, '/r'), ['b.txt'])
  assert.deepEqual(await listing(result, '/all'), [
    '.dockerignore',
    'build',
    'build/keep',
    'x',
    'x/a.txt',
    'y',
    'y/b.txt',
    'y/c.md',
  ])
  assert.deepEqual(await listing(result, '/from'), ['ok', 'z.secret'])
  assert.match((await room.file(result, '/pw'))!, /app/)
})

test('<Dockerfile>.dockerignore wins; a Dockerfile elsewhere', async () => {
  const directory = room.context({
    a: '',
    b: '',
    '.dockerignore': 'a',
    'docker/api.Dockerfile': 'FROM base:1\nCOPY . /c/',
    'docker/api.Dockerfile.dockerignore': 'b\ndocker',
  })
  const result = await room.build('', { context: { directory }, dockerfile: { path: 'docker/api.Dockerfile' } })
  assert.deepEqual(await listing(result, '/c'), ['.dockerignore', 'a'])
  await assert.rejects(
    room.build('', { context: { directory }, dockerfile: { path: 'nope' } }),
    /failed to read dockerfile: open nope: no such file or directory/,
  )
})

test('mounts that every RUN gets', async () => {
  const automounts = ['type=bind,target=/context', 'type=tmpfs,target=/scratch', 'type=secret,id=word,target=/word']
  const text =
    'FROM base:1 AS one\nRUN cp /context/a /a; touch /scratch/x\nFROM one\nRUN cat /word /a > /b; ls /scratch >> /b'
  const secrets = { word: { value: Buffer.from('word ') } }
  const result = await room.build(text, { files: { a: 'from the context' }, automounts, secrets })
  assert.equal(await room.file(result, '/b'), 'word from the context')
})

test('here-documents', async () => {
  const result = await room.build(
    'FROM base:1\nARG v=1\nCOPY <<one <<-"two" /h/\nv=$v\none\n\tv=$v\n\ttwo\nCOPY <<EOF /single\nx\nEOF\n',
  )
  assert.equal(await room.file(result, '/h/one'), 'v=1\n')
  assert.equal(await room.file(result, '/h/two'), 'v=$v\n')
  assert.deepEqual(await attributes(result, '/single'), ['644 0:0'])
})

test('--link: a layer that does not depend on what is below', async () => {
  const files = { a: 'A' }
  const first = await room.build('FROM base:1\nRUN echo one > /one\nCOPY --link --chown=5 a /etc/linked/a', { files })
  const second = await room.build('FROM base:1\nRUN echo two > /one\nCOPY --link --chown=5 a /etc/linked/a', { files })
  assert.ok(second.cached.includes('[3/3] COPY --link --chown=5 a /etc/linked/a'), second.text)
  assert.equal(await room.file(second, '/one'), 'two\n')
  assert.equal(await room.file(second, '/etc/linked/a'), 'A')
  assert.match((await room.file(second, '/etc/passwd'))!, /root/, 'the directory is merged')
  assert.deepEqual(await attributes(second, '/etc/linked/a'), ['644 5:5'])
  assert.equal(first.image.config.rootfs.diff_ids.at(-1), second.image.config.rootfs.diff_ids.at(-1))
})

test('ADD: archives by content, whatever they are called', async () => {
  const directory = room.context({ 'not-a.tar': 'just text', 'src/in/f': 'F' })
  for (const [flag, name] of [
    ['z', 'a.bin'],
    ['J', 'b.tar.xz'],
    ['j', 'c'],
    ['', 'plain.tar'],
  ] as const)
    execFileSync('tar', [
      `c${flag}f`,
      join(directory, name),
      '-C',
      join(directory, 'src'),
      '--owner=3',
      '--group=4',
      'in',
    ])
  const result = await room.build(
    'FROM base:1\nADD a.bin /a/\nADD b.tar.xz /b\nADD c /c/\nADD plain.tar /p/\nADD not-a.tar /n/\nADD --unpack=false a.bin /raw\nADD --chown=9 a.bin /owned/\n',
    {
      context: { directory },
    },
  )
  for (const path of ['/a/in/f', '/b/in/f', '/c/in/f', '/p/in/f'])
    assert.equal(await room.file(result, path), 'F', path)
  assert.deepEqual(await attributes(result, '/a/in/f', '/owned/in/f'), ['644 3:4', '644 9:9'])
  assert.deepEqual(await listing(result, '/n'), ['not-a.tar'])
  assert.ok(await room.rootfs(result, (root) => lstatSync(join(root, 'raw')).isFile()))
})

test('ADD of a broken archive: what GNU tar and Go leave out at the end is fine, what is cut off elsewhere is not', async () => {
  const context = room.context({ first: 'hello\n' })
  writeFileSync(join(context, 'second'), Buffer.alloc(3000, 'x'))
  const whole = execFileSync('tar', ['--format=gnu', '-c', '-C', context, 'first', 'second'])
  const [secondHeader, secondBody, secondEnd] = [1024, 1536, 1536 + 3072]
  const flipped = Buffer.from(whole)
  flipped.write('X', secondHeader)
  const gzip = execFileSync('gzip', ['-c'], { input: whole })
  const xz = execFileSync('xz', ['-c'], { input: whole })
  const cases: Record<string, [Buffer, 'unpacked' | 'copied' | RegExp]> = {
    'no end mark': [whole.subarray(0, secondEnd), 'unpacked'],
    'half an end mark': [whole.subarray(0, secondEnd + 512), 'unpacked'],
    'no padding': [whole.subarray(0, secondBody + 3000), 'unpacked'],
    'half the padding': [whole.subarray(0, secondBody + 3040), 'unpacked'],
    'cut in the end mark': [whole.subarray(0, secondEnd + 300), /unexpected EOF/],
    'cut in a header': [whole.subarray(0, secondHeader + 200), /unexpected EOF/],
    'cut in a body': [whole.subarray(0, secondBody + 1000), /unexpected EOF/],
    'cut in the first body': [whole.subarray(0, 515), /unexpected EOF/],
    'a damaged header': [flipped, /invalid tar header/],
    'something behind zeros': [
      Buffer.concat([whole.subarray(0, secondHeader), Buffer.alloc(512), whole.subarray(secondHeader)]),
      /invalid tar header/,
    ],
    'gzip that is cut': [gzip.subarray(0, gzip.length - 12), /unexpected end of file/],
    'xz that is cut': [xz.subarray(0, xz.length - 40), /damaged xz data/],
    // No archive at all, as far as anybody can tell.
    'cut in the first header': [whole.subarray(0, 300), 'copied'],
    'only zeros': [Buffer.alloc(10_240), 'copied'],
    'gzip without content': [gzip.subarray(0, 15), 'copied'],
    nothing: [Buffer.alloc(0), 'copied'],
  }
  for (const [name, [data, expected]] of Object.entries(cases)) {
    const broken = room.context({})
    writeFileSync(join(broken, 'archive'), data)
    const building = room.build('FROM base:1\nADD archive /d/\n', { context: { directory: broken } })
    if (expected instanceof RegExp) {
      await assert.rejects(building, expected, name)
      continue
    }
    const result = await building
    assert.deepEqual(await listing(result, 'd'), expected === 'copied' ? ['archive'] : ['first', 'second'], name)
    if (expected === 'unpacked') assert.equal((await room.file(result, '/d/second'))?.length, 3000, name)
  }
  assert.deepEqual(await contextsLeft(room), [])
})

test('ADD of a URL: name, mode, time, checksum, and asked for again', async () => {
  const hits: (string | undefined)[] = []
  let body = 'one'
  const server = createServer((request, response) => {
    hits.push(request.headers['if-none-match'])
    if (request.url === '/none') return void response.writeHead(404).end()
    const etag = `"${body}"`
    if (request.headers['if-none-match'] === etag) return void response.writeHead(304).end()
    response.writeHead(200, { etag, 'last-modified': 'Thu, 01 Jan 2015 00:00:00 GMT' }).end(body)
  })
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening))
  try {
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
    const text = `FROM base:1\nADD ${url}/dir/file.txt /d/\nRUN cat /d/file.txt`
    const result = await room.build(text)
    assert.equal(await room.file(result, '/d/file.txt'), 'one')
    assert.deepEqual(await attributes(result, '/d/file.txt'), ['600 0:0'])
    assert.equal(await room.rootfs(result, (root) => lstatSync(join(root, 'd/file.txt')).mtimeMs), Date.UTC(2015, 0))
    const again = await room.build(text)
    assert.deepEqual([again.image.id, again.changed, hits], [result.image.id, false, [undefined, '"one"']])
    body = 'two'
    assert.equal(await room.file(await room.build(text), '/d/file.txt'), 'two')
    const sum = `sha256:${'0'.repeat(64)}`
    await assert.rejects(room.build(`FROM base:1\nADD --checksum=${sum} ${url}/x /x`), /digest mismatch/)
    await assert.rejects(room.build(`FROM base:1\nADD ${url}/none /x`), /invalid response status 404/)
  } finally {
    server.close()
  }
})

test('WORKDIR makes a directory that belongs to the user; one that exists makes no layer', async () => {
  const result = await room.build(
    'FROM base:1\nUSER app\nWORKDIR /new/dir\nWORKDIR /tmp\nRUN id -u > id && /bin/busybox pwd > where',
  )
  assert.deepEqual(
    await attributes(result, '/new/dir', '/tmp/id'),
    ['755 1000:1001', '644 1000:1001'].map((text) => text),
  )
  assert.equal(await room.file(result, '/tmp/where'), '/tmp\n')
  const history = result.image.config.history!.map(({ created_by, empty_layer }) => [created_by, empty_layer ?? false])
  assert.deepEqual(history.slice(1), [
    ['USER app', true],
    ['WORKDIR /new/dir', false],
    ['WORKDIR /tmp', true],
    ['RUN /bin/sh -c id -u > id && /bin/busybox pwd > where # buildkit', false],
  ])
  assert.equal(result.image.snapshots.length, 3)
})

test('a context as a stream, plain and compressed; it cannot lead out', async () => {
  const member = (path: string, text: string): TarMember => ({
    entry: tarEntry({ path, size: text.length }),
    body: Buffer.from(text),
  })
  const outside = join(room.home, 'victim')
  writeFileSync(outside, 'safe')
  const members: TarMember[] = [
    member('Dockerfile', 'FROM base:1\nCOPY . /c/'),
    { entry: tarEntry({ path: 'evil', type: 'symlink', linkName: room.home }) },
    member('evil/victim', 'overwritten'),
    member('../../victim', 'overwritten'),
  ]
  const tar = packTar(members)
  const result = await room.build('', { context: { tar }, dockerfile: undefined })
  assert.equal(readFileSync(outside, 'utf8'), 'safe')
  assert.equal(await room.file(result, '/c/victim'), 'overwritten')
  const zipped = execFileSync('tar', ['cz', '-C', room.context({ Dockerfile: 'FROM base:1\nCOPY f /f', f: 'F' }), '.'])
  const gzip = await room.build('', { context: { tar: Readable.from([zipped]) }, dockerfile: undefined })
  assert.equal(await room.file(gzip, '/f'), 'F')
  assert.deepEqual(await contextsLeft(room), [])
})

test('named contexts: directories, images, stages', async () => {
  const other = room.context({ o: 'O', '.dockerignore': 'no', no: '' })
  const text =
    'FROM what AS base\nFROM base:1 AS st\nRUN echo st > /st\nFROM base\nCOPY --from=dir . /dir/\nCOPY --from=img /etc/group /g\nCOPY --from=alias /st /st\n'
  const result = await room.build(text, {
    contexts: { base: 'docker-image://base:1', dir: other, img: 'docker-image://base:1', alias: 'target:st' },
  })
  assert.deepEqual(await listing(result, '/dir'), ['.dockerignore', 'o'])
  assert.equal(await room.file(result, '/st'), 'st\n')
  const whole = await room.build('FROM dir\nENV x=1', { contexts: { dir: other } })
  assert.equal(await room.file(whole, '/o'), 'O')
  assert.equal(
    whole.image.config.history?.filter(({ empty_layer }) => !empty_layer).length,
    whole.image.snapshots.length,
  )
})

test('special permissions survive', async () => {
  const directory = room.context({ f: '' })
  chmodSync(join(directory, 'f'), 0o4755)
  assert.deepEqual(
    await attributes(await room.build('FROM base:1\nCOPY --chown=1 f /f', { context: { directory } }), '/f'),
    ['4755 1:1'],
  )
})

test('names that are no UTF-8 stay as they are, from every kind of context', async () => {
  const directory = room.context({ 'c/plain': '' })
  const inContext = (name: string): Buffer =>
    Buffer.concat([Buffer.from(`${directory}/c/`), Buffer.from(name, 'latin1')])
  mkdirSync(inContext('d\xff'))
  writeFileSync(inContext('d\xff/a\xe4\xfe'), 'first')
  writeFileSync(inContext('d\xff/a\xe4\xff'), 'second')
  symlinkSync(Buffer.from('to\xff', 'latin1'), inContext('l\xff'))
  execFileSync('mkfifo', [inContext('p').toString()])
  renameSync(inContext('p'), inContext('p\xff'))
  const dockerfile = `FROM base:1 AS a
COPY c /c
RUN rm -r /c/d* && mkdir "$(printf '/c/d\\377')"
FROM base:1
COPY c /c
COPY --link c /link
COPY --from=a /c /from
COPY c/d*/a* /picked/
`
  const names = (root: string, path: string): string[] =>
    execFileSync('find', [join(root, path), '-mindepth', '1', '-printf', '%P\\n'], { encoding: 'latin1' })
      .trim()
      .split('\n')
      .sort()
  const all = ['d\xff', 'd\xff/a\xe4\xfe', 'd\xff/a\xe4\xff', 'l\xff', 'plain', 'p\xff']
  const tar = (): Readable => Readable.from([execFileSync('tar', ['-C', directory, '-c', 'c'])])
  for (const context of [{ directory }, { tar: tar() }]) {
    const result = await room.build(dockerfile, { context })
    await room.rootfs(result, (root) => {
      for (const path of ['/c', '/link']) assert.deepEqual(names(root, path), all, path)
      assert.deepEqual(names(root, '/from'), ['d\xff', 'l\xff', 'plain', 'p\xff'])
      assert.deepEqual(names(root, '/picked'), ['a\xe4\xfe', 'a\xe4\xff'])
      const linked = readlinkSync(Buffer.concat([Buffer.from(join(root, 'c/l')), Buffer.from([0xff])]), 'latin1')
      assert.equal(linked, 'to\xff')
    })
  }
})
