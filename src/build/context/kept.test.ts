import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { lstatSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { after, test } from 'node:test'
import type { SpecialFiles } from '../../sys/sys.ts'
import type { RemoteDirectory, RemoteEntry } from '../types.ts'
import { KeptContexts, readRemote } from './kept.ts'
import type { Entry } from './tree.ts'

const xattrsSet: string[] = []
const base = mkdtempSync(join(tmpdir(), 'slipway-kept-'))
after(() => rmSync(base, { recursive: true }))
const files = {
  listXattrs: () => [],
  setXattr: (path: string, name: string) => xattrsSet.push(`${basename(path) === 'f' ? '' : 'new '}${name}`),
  setTimes: (path: string, _: bigint, ns: bigint) => {
    if (!lstatSync(path).isSymbolicLink()) utimes(path, Number(ns / 1_000_000_000n))
  },
} as unknown as SpecialFiles
const { utimesSync } = await import('node:fs')
const utimes = (path: string, seconds: number): void => utimesSync(path, seconds, seconds)

type Tree = Record<
  string,
  { text?: string; to?: string; time?: number; twin?: string; mode?: number; xattrs?: Record<string, Uint8Array> }
>
const none = new AbortController().signal

/** A client with these files; `asked` collects what is fetched. */
const client = (tree: Tree, asked: string[] = []): RemoteDirectory => ({
  key: 'key',
  open: ({ before }) => {
    const entries = Object.entries(tree).map(
      ([path, { text, to, time = 1, twin, mode = 0o755, xattrs = {} }], id): RemoteEntry => ({
        ...{ id, path, mode, size: text?.length ?? 0, mtimeNs: BigInt(time) * 1_000_000_000n, xattrs },
        kind: to !== undefined ? 'symlink' : text === undefined && twin === undefined ? 'directory' : 'file',
        link: to ?? twin ?? '',
      }),
    )
    const told = Buffer.from(JSON.stringify(tree))
    return {
      same: Promise.resolve(before !== undefined && told.equals(before)),
      known: () => entries,
      told: () => told,
      entries: (async function* () {
        yield entries
      })(),
      read(entry, sink) {
        asked.push(entry.path)
        const text = tree[entry.path]!.text!
        if (text !== '') sink(Buffer.from(text))
        sink(undefined)
      },
      finish: async () => {},
      close() {},
    }
  },
})
const kept = new KeptContexts(base, files)
const sync = async (tree: Tree): Promise<{ asked: string[]; root: string }> => {
  const asked: string[] = []
  const copy = await kept.sync(client(tree, asked), { exclude: [] }, none, () => {})
  copy.release()
  return { asked, root: copy.root }
}

test('only what changed is asked for; what is gone is deleted; kinds may change', async () => {
  const first = { a: { text: 'one' }, d: {}, 'd/b': { text: 'two' }, l: { to: 'a' }, t: { twin: 'a' } }
  const { asked, root } = await sync(first)
  assert.deepEqual(asked, ['a', 'd/b'])
  assert.equal(lstatSync(join(root, 't')).ino, lstatSync(join(root, 'a')).ino)
  assert.deepEqual((await sync(first)).asked, [])
  assert.deepEqual((await sync({ ...first, 'd/b': { text: 'two', time: 9 } })).asked, ['d/b'])
  const second = await sync({ a: {}, 'a/x': { text: '' }, l: { text: 'file' } })
  assert.deepEqual(second.asked, ['a/x', 'l'])
  assert.deepEqual(readdirSync(root, { recursive: true }).sort(), ['a', 'a/x', 'l'])
})

test('what the last transfer has left is taken as it is, unless a transfer in between was killed', async () => {
  const { root } = await sync({ k: { text: 'one', time: 3 } })
  await sync({ k: { text: 'one', time: 3 } })
  // As a transfer that is killed leaves it: the file is another one, and what was known of all is gone with the first change.
  await assert.rejects(
    kept.sync(
      {
        key: 'key',
        open: () => ({
          ...client({ k: { text: 'two', time: 4 } }).open({ exclude: [] }, none),
          finish: () => Promise.reject(new Error('killed')),
        }),
      },
      { exclude: [] },
      none,
      () => {},
    ),
    /killed/,
  )
  assert.equal(readFileSync(join(root, 'k'), 'utf8'), 'two')
  const { asked } = await sync({ k: { text: 'one', time: 3 } })
  assert.deepEqual(asked, ['k'])
  assert.equal(readFileSync(join(root, 'k'), 'utf8'), 'one')
})

test('what is told in the same words is not looked at again; any other word is', async () => {
  const at = async (tree: Tree) => {
    const asked: string[] = []
    const remote = client(tree, asked)
    let read = false
    const copy = await kept.sync(
      {
        key: 'words',
        open: (want, signal) => {
          const transfer = remote.open(want, signal)
          return {
            ...transfer,
            entries: (async function* () {
              read = true
              yield* transfer.entries
            })(),
          }
        },
      },
      { exclude: [] },
      none,
      () => {},
    )
    copy.release()
    return { asked, read, copy }
  }
  const first = {
    ...{ d: {}, 'd/f': { text: 'one' }, g: { text: 'two' }, l: { to: 'd/f' }, t: { twin: 'd/f' } },
    ...{ x: { text: 'three', xattrs: { 'user.a': Buffer.from('1') } } },
  } satisfies Tree
  const before = (await at(first)).copy
  const digestOf = (text: string): string => createHash('sha256').update(text).digest('hex')
  const again = await at(first)
  assert.deepEqual([again.read, again.asked], [false, []])
  const { listing, revision, size } = again.copy
  assert.deepEqual([revision, size], [before.revision, before.size])
  assert.deepEqual(listing.names(''), ['d', 'g', 'l', 't', 'x'])
  const sorted = (entries: Iterable<Entry>): Entry[] => [...entries].sort((a, b) => (a.path < b.path ? -1 : 1))
  assert.deepEqual(sorted(listing.entries()), sorted(before.listing.entries()), 'filled when it is asked')
  assert.equal(listing.get('t')!.digest, digestOf('one'))

  const changes: [string, Tree, string[]][] = [
    ['content of the same size and another time', { ...first, g: { text: 'owt', time: 2 } }, ['g']],
    ['only a mode', { ...first, g: { text: 'two', mode: 0o644 } }, ['g']],
    ['only an extended attribute', { ...first, x: { text: 'three', xattrs: { 'user.a': Buffer.from('2') } } }, ['x']],
    ['only the mode of a directory', { ...first, d: { mode: 0o700 } }, []],
    ['a link instead of a file', { ...first, g: { to: 'd/f' } }, []],
    ['another target', { ...first, l: { to: 'g' } }, []],
    ['a file that was another name', { ...first, t: { text: 'eno', time: 2 } }, ['t']],
    ['one more', { ...first, z: { text: '' } }, ['z']],
    ['one less', { d: first.d, 'd/f': first['d/f'] }, []],
  ]
  for (const [what, tree, asked] of changes) {
    const from = await at(first)
    const changed = await at(tree)
    assert.deepEqual([changed.read, changed.asked], [true, asked], what)
    assert.notEqual(changed.copy.revision, from.copy.revision, what)
    assert.deepEqual([...changed.copy.listing.entries()].map(({ path }) => path).sort(), Object.keys(tree).sort(), what)
    const mode = tree.d!.mode ?? 0o755
    assert.equal(changed.copy.listing.get('d')!.mode, mode, what)
    assert.equal(lstatSync(join(changed.copy.root, 'd')).mode & 0o777, mode, what)
    for (const { path, kind, digest } of changed.copy.listing.entries())
      if (kind === 'file') assert.equal(digest, digestOf(readFileSync(join(changed.copy.root, path), 'utf8')), what)
    assert.equal((await at(tree)).read, false, what)
  }
  assert.ok(xattrsSet.length > 2, 'a new file has the new attributes')
})

test('a copy in which somebody was is looked at, and made what the client has', async () => {
  const tree = { d: {}, 'd/f': { text: 'x' }, g: { text: 'y' } }
  const { root } = await sync(tree)
  rmSync(join(root, 'd/f'))
  writeFileSync(join(root, 'more'), 'z')
  assert.deepEqual((await sync(tree)).asked, ['d/f'])
  assert.deepEqual(readdirSync(root, { recursive: true }).sort(), ['d', 'd/f', 'g'])
  assert.deepEqual((await sync(tree)).asked, [])
})

test('what is known of a copy may be damaged', async () => {
  const tree = { g: { text: 'y' } }
  const { root } = await sync(tree)
  for (const each of ['told-2', 'digests.json'])
    for (const damage of ['', '{}\n', '{"boot":', '\0\0\0\n\0']) {
      writeFileSync(join(root, '..', each), damage)
      await sync(tree)
      assert.equal(readFileSync(join(root, 'g'), 'utf8'), 'y')
      assert.deepEqual((await sync(tree)).asked, [])
    }
})

test('what somebody put into the copy is not followed', async () => {
  const { root } = await sync({ d: {}, 'd/f': { text: 'x' } })
  rmSync(join(root, 'd'), { recursive: true })
  const outside = mkdtempSync(join(base, 'outside-'))
  writeFileSync(join(outside, 'f'), 'precious')
  symlinkSync(outside, join(root, 'd'))
  await sync({ d: {}, 'd/f': { text: 'x' } })
  assert.equal(readFileSync(join(outside, 'f'), 'utf8'), 'precious')
  assert.equal(readFileSync(join(root, 'd/f'), 'utf8'), 'x')
})

test('paths that lead out or have no directory above are refused', async () => {
  for (const path of ['../x', '/x', 'a/../../x', 'no/parent', '.', '', 'a//b'])
    await assert.rejects(sync({ [path]: { text: 'x' } }), { code: 'bad-request' }, path)
  await assert.rejects(sync({ l: { to: '/etc' }, 'l/x': { text: 'x' } }), { code: 'bad-request' })
  await assert.rejects(sync({ t: { twin: '../../etc/passwd' } }), { code: 'bad-request' })
})

test('digests are remembered; after a restart of the machine only data that is what it was is taken', async () => {
  const tree = { a: { text: 'one' }, b: { text: 'two' } }
  const digests = async (): Promise<(string | undefined)[]> => {
    const copy = await kept.sync(client(tree), { exclude: [] }, none, () => {})
    copy.release()
    return ['a', 'b'].map((path) => copy.listing.get(path)!.digest)
  }
  const known = ['one', 'two'].map((text) => createHash('sha256').update(text).digest('hex'))
  assert.deepEqual(await digests(), known)
  assert.deepEqual(await digests(), known, 'not fetched again')
  const { root } = await sync(tree)
  for (const each of ['digests.json', 'told-2']) {
    const file = join(root, '..', each)
    writeFileSync(file, readFileSync(file, 'utf8').replace(/"boot":"[^"]*"/, '"boot":"another"'))
  }
  writeFileSync(join(root, 'b'), 'TWO')
  utimes(join(root, 'b'), 1)
  assert.deepEqual((await sync(tree)).asked, ['b'])
  assert.deepEqual(await digests(), known)
})

test('two users of one key have a copy each', async () => {
  const one = await kept.sync(client({}), { exclude: [] }, none, () => {})
  const two = await kept.sync(client({}), { exclude: [] }, none, () => {})
  assert.notEqual(one.root, two.root)
  one.release()
  two.release()
})

test('small files are read through links', async () => {
  const remote = client({ Dockerfile: { to: 'sub/real' }, sub: {}, 'sub/real': { text: 'FROM x' } })
  const found = await readRemote(remote, ['Dockerfile', '.dockerignore'], none)
  assert.deepEqual(
    [...found].map(([name, data]) => [name, data.toString()]),
    [['Dockerfile', 'FROM x']],
  )
})
