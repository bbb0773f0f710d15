/** What a copy takes from the last result of its kind (decision 11). */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { chmodSync, existsSync, linkSync, lstatSync, truncateSync, utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import { after, before, test } from 'node:test'
import { readTar } from '../../src/lib/tar/index.ts'
import type { BuildRoom, Outcome } from './build-room.ts'
import { openBuildRoom } from './build-room.ts'

let room: BuildRoom
before(async () => {
  room = await openBuildRoom()
})
after(() => room?.close())

test('a copy shares files with the last result of its kind, and is the layer that copying all of them gives', async () => {
  const names = Array.from({ length: 120 }, (_, i) => `tree/d${i % 3}/f${i}`)
  const directory = room.context(Object.fromEntries(names.map((name) => [name, name.padEnd(30)])))
  const at = (name: string): string => join(directory, 'tree', name)
  const dockerfile = 'FROM base:1\nCOPY --chown=5:6 tree /new\nCOPY tree /var/new\nRUN echo mine > /new/d1/f1'
  const build = async (path: string): Promise<Outcome> =>
    await room.build(dockerfile, { context: { directory: path }, noCache: path !== directory })
  /** Destinations themselves are as old as their build. */
  const layers = async ({ image }: Outcome): Promise<unknown[]> => {
    const found: unknown[] = []
    for (const key of image.snapshots.slice(1, 3))
      for await (const { entry, body } of readTar(await room.engine.snapshots.diff(key))) {
        const { mtimeNs, ...rest } = entry
        const time = /new\/d/.test(entry.path) ? mtimeNs : 0n
        found.push({ ...rest, time, text: entry.type === 'file' ? String(await buffer(body)) : '' })
      }
    return found
  }
  chmodSync(at('d0/f0'), 0o4755)
  const first = await build(directory)
  const { mtime } = lstatSync(at('d1/f4'))
  writeFileSync(at('d1/f4'), 'as long, and of the same time'.padEnd(30))
  utimesSync(at('d1/f4'), mtime, mtime)
  chmodSync(at('d1/f7'), 0o600)
  utimesSync(at('d1/f10'), 7, 7)
  execFileSync('rm', [at('d2/f2')])
  linkSync(at('d2/f5'), at('d2/twin'))
  room.sys.files.setXattr(at('d2/f8'), 'user.note', Buffer.from('new'))
  const copied = join(room.home, 'the-same')
  const compare = async (what: string): Promise<Outcome> => {
    const second = await build(directory)
    execFileSync('cp', ['-a', '--preserve=all', directory, copied])
    assert.deepEqual(await layers(second), await layers(await build(copied)), what)
    execFileSync('rm', ['-r', copied])
    return second
  }
  const second = await compare('layers')
  const paths = [
    '/new/d1/f1',
    '/new/d1/f13',
    '/new/d1/f4',
    '/new/d1/f7',
    '/new/d1/f10',
    '/new/d0/f0',
    '/var/new/d1/f13',
  ]
  const links = await room.rootfs(second, (root) => paths.map((path) => lstatSync(join(root, path)).nlink))
  assert.deepEqual(links, [1, 2, 1, 1, 1, 1, 1], 'written, same, content, mode, time, set-user-ID, /var')
  assert.equal(await room.file(second, '/new/d1/f1'), 'mine\n')
  for (const [result, text] of [
    [first, 'tree/d1/f4'],
    [second, 'as long, and of the same time'],
  ] as const)
    assert.equal((await room.file(result, '/new/d1/f4'))?.trim(), text)
  // What is remembered may be lost or broken, and earlier results may be gone.
  for (const key of room.engine.snapshots.keys())
    if (existsSync(room.engine.snapshots.asideOf(key)!)) truncateSync(room.engine.snapshots.asideOf(key)!, 20)
  writeFileSync(at('d1/f4'), 'another')
  await compare('nothing is known of the last result')
  writeFileSync(at('d1/f4'), 'once more')
  const third = await compare('shared again')
  for (const { image } of [first, second]) await room.engine.images.remove(image.id, { force: true })
  await room.builder.prune({ all: true })
  assert.equal((await room.file(third, '/new/d1/f13'))?.trim(), 'tree/d1/f13', 'what it was shared with is gone')
})

test('nothing below /etc and /var has more names than in the tree: from a sent context, and with --link', async () => {
  const directory = room.context({ 'c/one': 'one', 'c/run*': 'run', 'c/first': 'twice' })
  linkSync(join(directory, 'c/first'), join(directory, 'c/second'))
  const tar = Readable.from([execFileSync('tar', ['-C', directory, '-c', 'c'])])
  const places = ['opt/a', 'etc/a', 'etc/b']
  const dockerfile = 'FROM base:1\nCOPY c /opt/a\nCOPY c /etc/a\nCOPY --link c /etc/b\n'
  for (const context of [{ tar }, { directory }]) {
    const result = await room.build(dockerfile, { context, noCache: true })
    const names = await room.rootfs(result, (root) =>
      places.map((place) => {
        const of = (name: string) => lstatSync(join(root, place, name))
        assert.equal(of('first').ino, of('second').ino, place)
        return [of('one').nlink, of('run').nlink, of('run').mode & 0o777]
      }),
    )
    const copied = [1, 1, 0o755]
    assert.deepEqual(names.slice(1), [copied, copied])
  }
})
