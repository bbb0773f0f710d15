import assert from 'node:assert/strict'
import { existsSync, lstatSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { silentLog } from '../../lib/log.ts'
import { packTar, type TarEntry, type TarMember, tarEntry } from '../../lib/tar/index.ts'
import { createLinux } from '../../sys/linux/index.ts'
import { Listing } from './listing.ts'
import { receiveTar } from './received.ts'
import { ReceivedContexts } from './received-contexts.ts'
import { walk } from './tree.ts'

const { files } = createLinux({ runDir: '/nonexistent' }, silentLog)
const base = mkdtempSync(join(tmpdir(), 'slipway-received-'))
after(() => rmSync(base, { recursive: true }))

let count = 0
type Member = [Partial<TarEntry> & { path: string }, string?]
const receive = (...members: Member[]) => receiveOn(undefined, ...members)
const receiveOn = async (before: Listing | undefined, ...members: Member[]) => {
  const root = join(base, String(count++))
  mkdirSync(root)
  const packed = packTar(
    members.map(
      ([entry, text = '']): TarMember => ({
        entry: tarEntry({ size: text.length, ...entry }),
        body: Buffer.from(text),
      }),
    ),
  )
  return { root, listing: await receiveTar(packed, root, files, new AbortController().signal, before) }
}

/** The list says what the disk says. */
const check = async ({ root, listing }: Awaited<ReturnType<typeof receive>>): Promise<string[]> => {
  const tree = { root, resetOwner: true, stable: false }
  const shown = ({ path, kind, mode, link, size }: Awaited<ReturnType<typeof walk>>[number]): string =>
    [path, kind, kind === 'directory' ? '' : mode.toString(8), link, size].join(' ').trim()
  const listed = (await walk({ ...tree, listing }, files, { from: '/' })).map(shown)
  assert.deepEqual(listed, (await walk(tree, files, { from: '/' })).map(shown))
  return listed
}

test('files, links, directories that are not told of, names that come twice', async () => {
  const got = await receive(
    [{ path: './', type: 'directory', mode: 0o750 }],
    [{ path: 'b/deep/file', mode: 0o640 }, 'one'],
    [{ path: 'a' }, 'first'],
    [{ path: 'link', type: 'symlink', linkName: 'b' }],
    [{ path: 'link/through', mode: 0o644 }, 'x'],
    [{ path: 'twin', type: 'link', linkName: 'b/deep/file' }],
    [{ path: 'a', mode: 0o755 }, 'second'],
    [{ path: 'null', type: 'char', devMajor: 1, devMinor: 3 }],
  )
  assert.deepEqual(await check(got), [
    'a file 755  6',
    'b directory   0',
    'b/deep directory   0',
    'b/deep/file file 640  3',
    'b/through file 644  1',
    'link symlink 777 b 0',
    'twin file 640  3',
  ])
  assert.equal(lstatSync(got.root).mode & 0o7777, 0o750)
  assert.equal(lstatSync(join(got.root, 'twin')).ino, lstatSync(join(got.root, 'b/deep/file')).ino)
  assert.equal(readFileSync(join(got.root, 'a'), 'utf8'), 'second')
  assert.notEqual(got.listing.get('a')!.digest, got.listing.get('twin')!.digest)
})

test('nothing leads out', async () => {
  const got = await receive(
    [{ path: '../../../escaped' }, 'x'],
    [{ path: 'out', type: 'symlink', linkName: '/../..' }],
    [{ path: 'out/escaped-too' }, 'x'],
    [{ path: 'up', type: 'symlink', linkName: '..' }],
  )
  assert.equal(existsSync(join(base, 'escaped')), false)
  assert.equal(existsSync(join(base, 'escaped-too')), false)
  assert.deepEqual(await check(got), [
    'escaped file 644  1',
    'escaped-too file 644  1',
    'out symlink 777 /../.. 0',
    'up symlink 777 .. 0',
  ])
  await assert.rejects(receive([{ path: 'twin', type: 'link', linkName: '/etc/passwd' }]), /hard link/)
  await assert.rejects(receive([{ path: 'd', type: 'directory' }], [{ path: 'd' }, 'x']), /cannot replace to directory/)
})

test('what is the same as the last time is another name of that, anything else is a file of its own', async () => {
  const time = 1_600_000_000_000_000_000n
  const xattrs = new Map([['user.note', Buffer.from('x')]])
  const first = await receive(
    ...(['same', 'text', 'longer', 'mode', 'time', 'xattr', 'kind'].map((path) => [
      { path, mtimeNs: time, mode: 0o644 },
      'before',
    ]) as Member[]),
  )
  const second = await receiveOn(
    first.listing,
    [{ path: 'same', mtimeNs: time, mode: 0o644 }, 'before'],
    [{ path: 'text', mtimeNs: time, mode: 0o644 }, 'behind'],
    [{ path: 'longer', mtimeNs: time, mode: 0o644 }, 'before and after'],
    [{ path: 'mode', mtimeNs: time, mode: 0o600 }, 'before'],
    [{ path: 'time', mtimeNs: time + 1n, mode: 0o644 }, 'before'],
    [{ path: 'xattr', mtimeNs: time, mode: 0o644, xattrs }, 'before'],
    [{ path: 'kind', type: 'symlink', linkName: 'same' }],
    [{ path: 'new', mtimeNs: time, mode: 0o644 }, 'before'],
  )
  await check(second)
  const inode = ({ root }: { root: string }, path: string): number | undefined =>
    lstatSync(join(root, path), { throwIfNoEntry: false })?.ino
  const shared = ['same', 'text', 'longer', 'mode', 'time', 'xattr', 'kind', 'new'].filter(
    (path) => inode(first, path) === inode(second, path),
  )
  assert.deepEqual(shared, ['same'])
  for (const path of ['same', 'text', 'longer', 'mode', 'time', 'xattr', 'kind'])
    assert.equal(readFileSync(join(first.root, path), 'utf8'), 'before', path)
  assert.equal(readFileSync(join(second.root, 'text'), 'utf8'), 'behind')
  assert.equal(second.listing.get('same')?.digest, first.listing.get('same')?.digest)
  // What was deleted under us is made again.
  rmSync(join(first.root, 'same'))
  const third = await receiveOn(first.listing, [{ path: 'same', mtimeNs: time, mode: 0o644 }, 'before'])
  assert.equal(readFileSync(join(third.root, 'same'), 'utf8'), 'before')
})

test('the last context of a name stays for the next one, unless it is small; no more than a few do', async () => {
  const at = join(base, 'places')
  const received = new ReceivedContexts(at, () => 1)
  const listing = (size: number): Listing => {
    const made = new Listing('/nowhere')
    for (let i = 0; i < size; i++) made.set(String(i), { kind: 'file', mode: 0o644, mtimeNs: 0n })
    return made
  }
  const [large, small] = [listing(300), listing(10)]
  const first = received.open('app')
  assert.equal(first.before, undefined)
  first.keep(large)
  const second = received.open('app')
  assert.equal(second.before, large)
  // Another build at the same time has nothing to go by.
  const beside = received.open('app')
  assert.equal(beside.before, undefined)
  beside.keep(large)
  assert.equal(received.list().length, 1)
  second.drop()
  const third = received.open('app')
  assert.equal(third.before, large)
  third.keep(small)
  assert.deepEqual(received.list(), [])
  for (const name of ['1', '2', '3', '4', '5', '6']) received.open(name).keep(large)
  assert.equal(received.list().length, 4)
  const [one] = received.list()
  assert.ok(received.remove(one!.id) && !received.remove(one!.id))
  assert.equal(received.list().length, 3)
  for (let i = 0; i < 100 && readdirSync(at).length > 3; i++) await new Promise((go) => setTimeout(go, 10))
  assert.equal(readdirSync(at).length, 3)
  received.recover()
  assert.ok(!existsSync(at))
})
