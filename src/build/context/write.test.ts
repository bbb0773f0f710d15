import assert from 'node:assert/strict'
import { once } from 'node:events'
import {
  chmodSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { silentLog } from '../../lib/log.ts'
import { createLinux } from '../../sys/linux/index.ts'
import { select } from './select.ts'
import { RootWriter } from './write.ts'

const { files } = createLinux({ runDir: '/nonexistent' }, silentLog)

const inDirectory = async (body: (dir: string) => Promise<void>): Promise<void> => {
  const dir = mkdtempSync(join(tmpdir(), 'slipway-write-'))
  try {
    await body(dir)
  } finally {
    rmSync(dir, { recursive: true })
  }
}

const writerFor = (root: string): RootWriter =>
  new RootWriter({ files, root, owner: { uid: process.getuid!(), gid: process.getgid!() }, mode: undefined })

test('directories that have to be made, that were there, and that are only on the way; a socket is an empty file', () =>
  inDirectory(async (dir) => {
    const put = (path: string, mode: number): void => {
      mkdirSync(join(dir, path), { recursive: true })
      chmodSync(join(dir, path), mode)
    }
    for (const path of ['from/way/taken/new', 'from/way/other']) put(path, 0o755)
    for (const path of ['from/way', 'from/way/taken', 'from/way/taken/new']) chmodSync(join(dir, path), 0o750)
    writeFileSync(join(dir, 'from/way/taken/new/file'), '')
    for (const path of ['root/there/way/taken', 'root/there']) put(path, 0o700)
    const root = join(dir, 'root')
    const mode = (path: string): string => (lstatSync(join(root, path)).mode & 0o7777).toString(8)
    const item = async (path: string) =>
      await select({ root: dir, resetOwner: true, stable: true }, files, { path, pivot: '/from', exclude: [] })
    const writer = new RootWriter({ files, root, owner: undefined, mode: () => 0o711, directoryMode: 0o711 })
    await writer.copy(await item('/from/way/taken'), '/there/', false)
    await writer.copy(await item('/from/way/taken/new/file'), '/a/b/', false)
    await writer.flush()
    assert.equal(mode('there'), '700', 'the destination')
    assert.equal(mode('there/way'), '750', 'on the way')
    assert.equal(mode('there/way/taken'), '711', 'meant')
    assert.deepEqual([mode('a'), mode('a/b'), mode('a/b/way/taken/new')], ['711', '711', '711'])
    assert.equal(lstatSync(join(root, 'there/way/other'), { throwIfNoEntry: false }), undefined)
    const server = createServer().listen(join(dir, 'socket'))
    await once(server, 'listening')
    await writer.copy(await selected(dir, '/socket'), '/', false)
    server.close()
    assert.ok(lstatSync(join(root, 'socket')).isFile())
  }))

const selected = (root: string, path: string) =>
  select({ root, resetOwner: true, stable: true }, files, { path, exclude: [] })

test('of two sources with the same directory, the later one wins; what is below new directories goes to the upper one', () =>
  inDirectory(async (dir) => {
    for (const [name, shared] of [
      ['a', 'first'],
      ['b', 'second'],
    ] as const) {
      mkdirSync(join(dir, name, 'deep/deeper'), { recursive: true })
      writeFileSync(join(dir, name, 'deep/deeper/shared'), shared)
      writeFileSync(join(dir, name, `deep/only-${name}`), name)
    }
    const [root, upper] = [join(dir, 'root'), join(dir, 'upper')]
    mkdirSync(root)
    const writer = writerFor(root)
    for (const source of ['/a', '/b']) await writer.copy(await selected(dir, source), '/to/', true)
    await writer.flush()
    assert.equal(readFileSync(join(root, 'to/deep/deeper/shared'), 'utf8'), 'second')
    assert.equal(readFileSync(join(root, 'to/deep/only-a'), 'utf8'), 'a')
    assert.equal(readFileSync(join(root, 'to/deep/only-b'), 'utf8'), 'b')

    const late = writerFor(root)
    await late.copy(await selected(dir, '/a'), '/new/', false)
    mkdirSync(join(upper, 'new'), { recursive: true })
    await late.finish(upper)
    assert.equal(readFileSync(join(upper, 'new/deep/deeper/shared'), 'utf8'), 'first')
    assert.equal(lstatSync(join(root, 'new/deep'), { throwIfNoEntry: false }), undefined)
  }))

test('times, permissions, links and large files are copied; a source that changes meanwhile is told of', () =>
  inDirectory(async (dir) => {
    const from = join(dir, 'from/sub')
    mkdirSync(from, { recursive: true })
    writeFileSync(join(from, 'run'), 'x'.repeat(200_000), { mode: 0o751 })
    symlinkSync('run', join(from, 'link'))
    utimesSync(join(from, 'run'), 1_600_000_000, 1_600_000_000)
    utimesSync(from, 1_500_000_000, 1_500_000_000)
    mkdirSync(join(dir, 'root'))
    const writer = writerFor(join(dir, 'root'))
    const items = await selected(dir, '/from')
    await writer.copy(items, '/to/', false)
    await writer.flush()
    assert.equal(writer.changed, false)
    const to = join(dir, 'root/to/sub')
    const stat = lstatSync(join(to, 'run'))
    assert.equal(stat.mode & 0o7777, 0o751)
    assert.equal(stat.mtimeMs, 1_600_000_000_000)
    assert.equal(lstatSync(to).mtimeMs, 1_500_000_000_000)
    assert.equal(readFileSync(join(to, 'link'), 'utf8'), 'x'.repeat(200_000))
    rmSync(join(from, 'run'))
    const without = writerFor(join(dir, 'root'))
    await without.copy(items, '/without/', false)
    await without.flush()
    assert.equal(without.changed, true)
    assert.deepEqual(readdirSync(join(dir, 'root/without/sub')), ['link'])
    writeFileSync(join(from, 'run'), 'changed')
    await writer.copy(items, '/again/', false)
    await writer.flush()
    assert.equal(writer.changed, true)
  }))
