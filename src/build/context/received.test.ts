import assert from 'node:assert/strict'
import { existsSync, lstatSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { silentLog } from '../../lib/log.ts'
import { packTar, type TarEntry, type TarMember, tarEntry } from '../../lib/tar/index.ts'
import { createLinux } from '../../sys/linux/index.ts'
import { receiveTar } from './received.ts'
import { walk } from './tree.ts'

const { files } = createLinux({ runDir: '/nonexistent' }, silentLog)
const base = mkdtempSync(join(tmpdir(), 'slipway-received-'))
after(() => rmSync(base, { recursive: true }))

let count = 0
const receive = async (...members: [Partial<TarEntry> & { path: string }, string?][]) => {
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
  return { root, listing: await receiveTar(packed, root, files, new AbortController().signal) }
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
