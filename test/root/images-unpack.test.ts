/** What a layer archive may do to the machine: nothing but fill its own directory. Each archive here breaks a naive extractor. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { existsSync, lstatSync, mkdirSync, readdirSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { after, before, test } from 'node:test'
import { gzipSync, zstdCompressSync } from 'node:zlib'
import { createSnapshots } from '../../src/engine/snapshots/index.ts'
import { type ErrorCode, isError } from '../../src/errors.ts'
import { encodeTarHeader, packTar, type TarEntry, tarEnd, tarEntry } from '../../src/lib/tar/index.ts'
import { temporaryHome } from './images-setup.ts'

const home = temporaryHome()
const snapshots = createSnapshots(home.deps)
const outside = join(home.dir, 'outside')
before(() => {
  mkdirSync(outside)
  writeFileSync(join(outside, 'secret'), 'secret')
})
after(async () => {
  await snapshots.close()
  home.remove()
})

type Given = Partial<TarEntry> & { path: string; text?: string }
const tar = (...entries: Given[]): Readable =>
  packTar(
    entries.map(({ text = '', ...entry }) => ({
      entry: tarEntry({ ...entry, size: entry.type ? 0 : text.length }),
      body: Buffer.from(text),
    })),
  )
let counter = 0
/** Unpacks onto `parent` and returns the layer's name and directory. */
const unpack = async (archive: Readable, parent?: string): Promise<{ name: string; dir: string }> => {
  const name = `layer-${++counter}`
  await snapshots.unpack(name, parent, { stream: archive })
  return { name, dir: (await snapshots.stat(name))!.path }
}
const refused = async (archive: Readable, message: RegExp, code: ErrorCode = 'invalid'): Promise<void> => {
  const count = (await snapshots.list()).length
  await assert.rejects(unpack(archive), (error) => isError(error, code) && message.test(error.message))
  assert.equal((await snapshots.list()).length, count, 'a failed layer leaves a snapshot')
  assert.deepEqual(readdirSync(outside), ['secret'])
  assert.equal(readFileSync(join(outside, 'secret'), 'utf8'), 'secret')
}
/** Mounts `key` and gives its merged view to `body`. */
const merged = async <T>(key: string, body: (dir: string) => T): Promise<T> => {
  const target = join(home.dir, `merged-${++counter}`)
  mkdirSync(target)
  home.deps.sys.mounts.mount({ ...(await snapshots.mounts(key)), target })
  try {
    return body(target)
  } finally {
    home.deps.sys.mounts.unmount(target)
  }
}

test('names that climb out of the root', async () => {
  await refused(tar({ path: '../outside/secret', text: 'x' }), /outside of the root/)
  await refused(tar({ path: 'a/../../../outside/new', text: 'x' }), /outside of the root/)
  const { dir } = await unpack(tar({ path: '/etc/absolute', text: 'x' }, { path: 'a/../b', text: 'y' }))
  assert.equal(readFileSync(join(dir, 'etc/absolute'), 'utf8'), 'x')
  assert.equal(readFileSync(join(dir, 'b'), 'utf8'), 'y')
})

test('writing through a symlink made earlier in the layer stays inside', async () => {
  for (const link of [outside, '../../../../../../../../../..' + outside, '/../..' + outside]) {
    const { dir } = await unpack(tar({ path: 'a', type: 'symlink', linkName: link }, { path: 'a/new', text: 'x' }))
    assert.deepEqual(readdirSync(outside), ['secret'])
    assert.equal(readFileSync(join(dir, outside, 'new'), 'utf8'), 'x')
    assert.equal(readlinkSync(join(dir, 'a')), link)
  }
  // Also in two steps, over a directory that becomes a link after it was used.
  const { dir } = await unpack(
    tar({ path: 'd/x', text: '1' }, { path: 'd', type: 'symlink', linkName: outside }, { path: 'd/new', text: 'x' }),
  )
  assert.equal(readFileSync(join(dir, outside, 'new'), 'utf8'), 'x')
  await refused(tar({ path: 'a', type: 'symlink', linkName: 'a' }, { path: 'a/b', text: 'x' }), /too many levels/)
})

test('writing through a symlink of a lower layer stays inside', async () => {
  const base = await unpack(
    tar({ path: 'a', type: 'symlink', linkName: outside }, { path: 'run', type: 'symlink', linkName: '/' }),
  )
  await unpack(tar({ path: 'a/new', text: 'x' }, { path: 'run/deep/er', text: 'y' }), base.name)
  assert.deepEqual(readdirSync(outside), ['secret'])
})

test('a file replaces a symlink instead of being written through it', async () => {
  const { dir } = await unpack(
    tar({ path: 'a', type: 'symlink', linkName: join(outside, 'secret') }, { path: 'a', text: 'x' }),
  )
  assert.equal(readFileSync(join(dir, 'a'), 'utf8'), 'x')
  assert.equal(readFileSync(join(outside, 'secret'), 'utf8'), 'secret')
  // Attributes neither.
  const before = lstatSync(join(outside, 'secret'))
  await unpack(tar({ path: 'l', type: 'symlink', linkName: join(outside, 'secret'), mode: 0o4777, uid: 12345 }))
  const { mode, uid, mtimeMs } = lstatSync(join(outside, 'secret'))
  assert.deepEqual([mode, uid, mtimeMs], [before.mode, before.uid, before.mtimeMs])
})

test('hard links to the outside', async () => {
  await refused(tar({ path: 'a', type: 'link', linkName: '../outside/secret' }), /outside of the root/)
  await refused(tar({ path: 'a', type: 'link', linkName: join(outside, 'secret') }), /no such file in this layer/)
  await refused(
    tar({ path: 'd', type: 'symlink', linkName: outside }, { path: 'a', type: 'link', linkName: 'd/secret' }),
    /no such file in this layer/,
  )
  // A hard link to a symlink is a second name of the link, not of what it means.
  const { dir } = await unpack(
    tar(
      { path: 's', type: 'symlink', linkName: join(outside, 'secret') },
      { path: 'h', type: 'link', linkName: 's' },
      { path: 'h', text: 'x' },
    ),
  )
  assert.equal(readFileSync(join(dir, 'h'), 'utf8'), 'x')
  assert.equal(lstatSync(join(outside, 'secret')).nlink, 1)
})

test('whiteouts hide only what is below', async () => {
  const base = await unpack(
    tar(
      { path: 'a/keep', text: '1' },
      { path: 'a/gone', text: '2' },
      { path: 'd/old', text: '3' },
      { path: 'f/old', text: '4' },
    ),
  )
  const top = await unpack(
    tar(
      { path: 'a/.wh.gone' },
      { path: 'd/.wh..wh..opq' },
      { path: 'd/new', text: '5' },
      { path: '.wh.f' },
      { path: 'f/new', text: '6' },
      { path: '.wh..wh.plnk', text: 'aufs' },
    ),
    base.name,
  )
  await merged(top.name, (dir) => {
    assert.deepEqual(readdirSync(join(dir, 'a')), ['keep'])
    assert.deepEqual(readdirSync(join(dir, 'd')), ['new'])
    assert.deepEqual(readdirSync(join(dir, 'f')), ['new'])
    assert.ok(!existsSync(join(dir, '.wh..wh.plnk')))
  })
  for (const name of ['.wh...', '.wh..', '.wh.']) await refused(tar({ path: `a/${name}` }), /invalid whiteout/)
  await refused(tar({ path: '../outside/.wh.secret' }), /outside of the root/)
  await unpack(
    tar({ path: 'o', type: 'symlink', linkName: outside }, { path: 'o/.wh.secret' }, { path: 'o/.wh..wh..opq' }),
    base.name,
  )
  assert.equal(readFileSync(join(outside, 'secret'), 'utf8'), 'secret')
})

test('the overlay itself cannot be steered', async () => {
  const steer = {
    xattrs: new Map([
      ['trusted.overlay.redirect', Buffer.from('/etc')],
      ['trusted.overlay.opaque', Buffer.from('y')],
      ['user.fine', Buffer.from('1')],
    ]),
  }
  const { dir } = await unpack(tar({ path: 'd', type: 'directory', ...steer }))
  assert.deepEqual(home.deps.sys.files.listXattrs(join(dir, 'd')), ['user.fine'])
  await refused(tar({ path: 'w', type: 'char', devMajor: 0, devMinor: 0 }), /device 0:0/)
})

test('the root cannot be replaced', async () => {
  await refused(tar({ path: '.', type: 'symlink', linkName: outside }), /replaces the root/)
  await refused(tar({ path: 'a/..', text: 'x' }), /replaces the root/)
  const { dir } = await unpack(tar({ path: './', type: 'directory', mode: 0o711, uid: 7 }))
  assert.deepEqual([lstatSync(dir).mode & 0o7777, lstatSync(dir).uid], [0o711, 7])
})

test('bombs', async () => {
  const bytes = (n: number): Given => ({ path: `f${n}`, text: 'x'.repeat(n) })
  const limited = (limits: object, archive: Readable) =>
    snapshots.unpack('bomb', undefined, { stream: archive }, { limits })
  await assert.rejects(limited({ bytes: 1000 }, tar(bytes(600), bytes(500))), /unpacks to more than 1000 bytes/)
  await assert.rejects(limited({ entries: 2 }, tar(bytes(1), bytes(2), bytes(3))), /more than 2 entries/)
  await assert.rejects(limited({ minFree: Number.MAX_SAFE_INTEGER }, tar(bytes(70 << 20))), (error) =>
    isError(error, 'no-space'),
  )
  await refused(tar({ path: 'x/'.repeat(2500) + 'y', text: '' }), /path too long/)
  await refused(tar({ path: 'x'.repeat(256), text: '' }), /name too long/)
  // 1.5 GiB of zeros out of a few KiB.
  const zeros = Buffer.alloc(64 << 20)
  const header = encodeTarHeader(tarEntry({ path: 'zeros', size: 24 * zeros.length }))
  const bomb = zstdCompressSync(Buffer.concat([header, ...Array(20).fill(zeros)]))
  assert.ok(bomb.length < 1 << 20)
  await refused(Readable.from([bomb]), /compressed beyond reason/)
})

test('owners, modes, times, capabilities, devices, holes, odd names arrive', async () => {
  const capability = Buffer.from('0100000200040000000000000000000000000000', 'hex')
  const { dir, name } = await unpack(
    tar(
      { path: 'd', type: 'directory', mode: 0o1777, uid: 5, gid: 6, mtimeNs: 1_000_000_000n * 1_000_000_000n },
      {
        path: 'd/ping',
        text: 'ping',
        mode: 0o4755,
        uid: 0,
        gid: 9,
        mtimeNs: 5_000_000_000n,
        xattrs: new Map([['security.capability', capability]]),
      },
      { path: 'd/null', type: 'char', mode: 0o666, devMajor: 1, devMinor: 3 },
      { path: 'd/fifo', type: 'fifo', mode: 0o600 },
      { path: 'd/\udcff\udcfe', text: 'bytes' },
      { path: 'd/hard', type: 'link', linkName: 'd/ping' },
    ),
  )
  const ping = lstatSync(join(dir, 'd/ping'))
  assert.deepEqual([ping.mode & 0o7777, ping.uid, ping.gid, ping.mtimeMs, ping.nlink], [0o4755, 0, 9, 5000, 2])
  assert.deepEqual(Buffer.from(home.deps.sys.files.getXattr(join(dir, 'd/ping'), 'security.capability')!), capability)
  const d = lstatSync(join(dir, 'd'))
  assert.deepEqual([d.mode & 0o7777, d.uid, d.gid, d.mtimeMs], [0o1777, 5, 6, 1e12])
  assert.equal(lstatSync(join(dir, 'd/null')).rdev, (1 << 8) | 3)
  assert.ok(readdirSync(join(dir, 'd'), 'buffer').some((each) => each.equals(Buffer.from([0xff, 0xfe]))))
  // And it all comes back out.
  const listed = execFileSync('tar', ['-tv', '--numeric-owner', '--xattrs'], {
    input: await bytesOf(await snapshots.diff(name)),
    encoding: 'utf8',
  })
  assert.match(listed, /drwxrwxrwt\s+5\/6\s+0 2001-09-09 .* d\/\n/)
  assert.match(listed, /-rwsr-xr-x\s+0\/9\s+4 1970-01-01 .* d\/hard\n/)
  assert.match(listed, /crw-rw-rw-\s+0\/0\s+1,3 .* d\/null\n/)
  assert.match(listed, /d\/ping link to d\/hard/)
})

test('missing parents look like those below', async () => {
  const base = await unpack(
    tar(
      { path: 'p', type: 'directory', mode: 0o700, uid: 42, gid: 43 },
      { path: 'p/q', type: 'directory', mode: 0o1777 },
    ),
  )
  const top = await unpack(tar({ path: 'p/q/new', text: 'x' }), base.name)
  const p = lstatSync(join(top.dir, 'p'))
  assert.deepEqual([p.mode & 0o7777, p.uid, p.gid], [0o700, 42, 43])
  assert.equal(lstatSync(join(top.dir, 'p/q')).mode & 0o7777, 0o1777)
})

test('damaged archives', async () => {
  const whole = await bytesOf(tar({ path: 'a', text: 'x'.repeat(100_000) }))
  await refused(Readable.from([whole.subarray(0, 50_000)]), /unexpected EOF/)
  await refused(Readable.from([gzipSync(whole).subarray(0, 100)]), /cannot decompress|unexpected end/)
  await refused(Readable.from([Buffer.from('<html>not found</html>'.repeat(100))]), /invalid tar header/)
})

test('the same tree gives the same archive, whatever way it came', async () => {
  const files: Given[] = [
    { path: 'b/x', text: '1' },
    { path: 'b/ü', text: '2' },
    { path: 'a', type: 'symlink', linkName: 'b' },
    { path: 'b', type: 'directory', mtimeNs: 7_000_000_000n },
  ]
  const one = await unpack(tar(...files))
  const two = await unpack(Readable.from([gzipSync(await bytesOf(tar(...files.reverse())))]))
  const first = await bytesOf(await snapshots.diff(one.name))
  assert.deepEqual(await bytesOf(await snapshots.diff(two.name)), first)
  const round = await unpack(Readable.from([first]))
  assert.deepEqual(await bytesOf(await snapshots.diff(round.name)), first)
  assert.deepEqual(first.subarray(-1024), tarEnd)
})

test('an abort ends it and leaves nothing', async () => {
  const stop = new AbortController()
  const endless = Readable.from(
    (async function* () {
      yield encodeTarHeader(tarEntry({ path: 'x', size: 1 << 30 }))
      setTimeout(() => stop.abort(), 50)
      for (;;) {
        await new Promise((go) => setTimeout(go, 5))
        yield Buffer.alloc(4096)
      }
    })(),
  )
  const count = (await snapshots.list()).length
  await assert.rejects(snapshots.unpack('aborted', undefined, { stream: endless }, { signal: stop.signal }), (error) =>
    isError(error, 'cancelled'),
  )
  assert.equal((await snapshots.list()).length, count)
})

test('150 layers can be mounted', async () => {
  let parent: string | undefined
  for (let i = 0; i < 150; i++) {
    const key = `deep-${i}`
    const mount = await snapshots.prepare(`${key}-active`, parent)
    const own = mount.options.find((option) => option.startsWith('upperdir='))?.slice(9) ?? mount.source
    writeFileSync(join(own, `f${i}`), '')
    await snapshots.commit(`${key}-active`, key)
    parent = key
  }
  await snapshots.prepare('deep', parent)
  await merged('deep', (dir) => {
    assert.equal(readdirSync(dir).length, 150)
    writeFileSync(join(dir, 'new'), '')
  })
})

test('what a killed daemon left is cleaned up', async () => {
  await snapshots.prepare('unpacking-99', undefined)
  const orphan = join(home.deps.instance.stateDir, 'snapshots', '99999')
  mkdirSync(join(orphan, 'fs'), { recursive: true })
  const kept = await unpack(tar({ path: 'x' }))
  await snapshots.recover()
  assert.ok(!existsSync(orphan))
  assert.equal(await snapshots.stat('unpacking-99'), undefined)
  assert.ok(existsSync(join(kept.dir, 'x')))
})

const bytesOf = async (stream: AsyncIterable<Uint8Array>): Promise<Buffer> => {
  const parts: Uint8Array[] = []
  for await (const part of stream) parts.push(part)
  return Buffer.concat(parts)
}
