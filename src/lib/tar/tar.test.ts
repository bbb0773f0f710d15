import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import {
  closeSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { after, test } from 'node:test'
import { randomBytes } from 'node:crypto'
import { constants, gzipSync, zstdCompressSync } from 'node:zlib'
import { isError } from '../../errors.ts'
import {
  decodeName,
  decompress,
  encodeTarHeader,
  nameBytes,
  packTar,
  readTar,
  type TarEntry,
  TarParser,
  tarEnd,
  tarEntry,
} from './index.ts'

const dir = mkdtempSync(join(tmpdir(), 'slipway-tar-'))
after(() => rmSync(dir, { recursive: true }))

const parse = (archive: Buffer, piece: number): { entry: TarEntry; content: Buffer }[] => {
  const members: { entry: TarEntry; content: Buffer }[] = []
  const parser = new TarParser({
    entry: (entry) => members.push({ entry, content: Buffer.alloc(entry.size) }),
    data: (chunk, position) => chunk.copy(members.at(-1)!.content, position),
    end: () => {},
  })
  for (let at = 0; at < archive.length; at += piece) parser.push(archive.subarray(at, at + piece))
  parser.finish()
  return members
}
const collect = async (stream: AsyncIterable<Uint8Array>): Promise<Buffer> => {
  const parts: Uint8Array[] = []
  for await (const part of stream) parts.push(part)
  return Buffer.concat(parts)
}

const tree = join(dir, 'tree')
mkdirSync(join(tree, 'a', 'b'.repeat(90), 'c'.repeat(90)), { recursive: true })
writeFileSync(join(tree, 'a', 'hello'), 'hello')
writeFileSync(join(tree, 'a', 'ümlaut'), 'x'.repeat(5000))
linkSync(join(tree, 'a', 'hello'), join(tree, 'a', 'other'))
symlinkSync('l'.repeat(150), join(tree, 'a', 'link'))
const sparse = join(tree, 'sparse')
writeFileSync(sparse, '')
truncateSync(sparse, 4 << 20)
const fd = openSync(sparse, 'r+')
for (let i = 0; i < 30; i++) writeSync(fd, `island ${i}`, i * 128 * 1024)
closeSync(fd)

for (const format of ['gnu', 'posix', 'ustar', 'v7', 'oldgnu']) {
  const long = format === 'gnu' || format === 'posix' || format === 'oldgnu'
  for (const piece of [1, 511, 65536])
    test(`reads what GNU tar writes: ${format}, ${piece} bytes at a time`, () => {
      const names = long ? ['a', 'sparse'] : ['a/hello', 'a/other', 'sparse']
      const archive = execFileSync(
        'tar',
        ['-C', tree, '--format', format, ...(long ? ['-S'] : []), '--sort=name', '-c', ...names],
        { maxBuffer: 64 << 20 },
      )
      if (piece === 1 && archive.length > 1 << 20) return
      const members = parse(archive, piece)
      const hello = members.find((m) => m.entry.path === 'a/hello')!
      assert.equal(hello.content.toString(), 'hello')
      assert.equal(members.find((m) => m.entry.path === 'a/other')!.entry.linkName, 'a/hello')
      assert.deepEqual(members.find((m) => m.entry.path === 'sparse')!.content, readFileSync(sparse))
      if (!long) return
      assert.equal(members.find((m) => m.entry.path === 'a/ümlaut')!.content.length, 5000)
      assert.equal(members.find((m) => m.entry.path === 'a/link')!.entry.linkName, 'l'.repeat(150))
      assert.ok(members.some((m) => m.entry.path === `a/${'b'.repeat(90)}/${'c'.repeat(90)}/`))
    })
}

for (const version of ['0.0', '0.1', '1.0'])
  test(`reads sparse files of PAX format ${version}`, async () => {
    const archive = execFileSync(
      'tar',
      ['-C', tree, '--format=posix', `--sparse-version=${version}`, '-S', '-c', 'sparse', 'a/hello'],
      { maxBuffer: 64 << 20 },
    )
    assert.ok(archive.length < 1 << 20, 'tar stored no holes')
    const read = []
    for await (const { entry, body } of readTar(Readable.from([archive]))) read.push([entry.path, await collect(body)])
    assert.deepEqual(read, [
      ['sparse', readFileSync(sparse)],
      ['a/hello', Buffer.from('hello')],
    ])
  })

test('what is written reads back, and GNU tar agrees', async () => {
  const entries = [
    tarEntry({ path: 'd', type: 'directory', mtimeNs: 1_500_000_000n * 1_000_000_000n }),
    tarEntry({ path: `d/${'long'.repeat(60)}`, size: 3, uid: 3_000_000, mtimeNs: -1_500_000_000n }),
    tarEntry({ path: 'd/ü', size: 0, xattrs: new Map([['security.capability', Buffer.from([1, 0, 10, 2])]]) }),
    tarEntry({ path: 'd/s', type: 'symlink', linkName: 'é'.repeat(80) }),
    tarEntry({ path: 'd/n', type: 'char', mode: 0o600, devMajor: 1, devMinor: 3, mtimeNs: 1n }),
  ]
  const archive = await collect(packTar(entries.map((entry) => ({ entry, body: Buffer.alloc(entry.size, 'x') }))))
  const back = parse(archive, 100)
  assert.deepEqual(
    back.map((m) => m.entry),
    [{ ...entries[0], path: 'd/' }, ...entries.slice(1)],
  )
  const listed = execFileSync('tar', ['-tv', '--numeric-owner'], { input: archive, encoding: 'utf8' })
  assert.match(listed, /3000000\/0 +3 1969-12-31/)
  assert.match(listed, /crw------- 0\/0 +1,3 /)
})

test('names that are not UTF-8 survive', () => {
  const bytes = Buffer.from([0x61, 0xff, 0xc3, 0xa9, 0xc3, 0x28, 0xf0, 0x9f])
  assert.deepEqual(nameBytes(decodeName(bytes)), bytes)
  const [member] = parse(Buffer.concat([encodeTarHeader(tarEntry({ path: decodeName(bytes) })), tarEnd]), 512)
  assert.deepEqual(nameBytes(member!.entry.path), bytes)
})

test('a writer that is given too little or too much says so', async () => {
  for (const body of ['ab', 'abcd'])
    await assert.rejects(
      collect(packTar([{ entry: tarEntry({ path: 'x', size: 3 }), body: Buffer.from(body) }])),
      (error) => isError(error, 'invalid'),
    )
})

test('an archive may end with the last byte of its last file', () => {
  const header = encodeTarHeader(tarEntry({ path: 'x', size: 3 }))
  const [member] = parse(Buffer.concat([header, Buffer.from('abc')]), 4096)
  assert.equal(member!.content.toString(), 'abc')
  assert.throws(() => parse(Buffer.concat([header, Buffer.from('ab')]), 4096), /unexpected EOF/)
  const block = Buffer.alloc(512)
  const body = Buffer.from('abc'.padEnd(512, '\0'))
  assert.equal(parse(Buffer.concat([header, body, block]), 4096).length, 1)
  // Behind a block of zeros there is another one, or nothing.
  for (const [rest, message] of [
    [Buffer.concat([block, header]), /invalid tar header/],
    [Buffer.concat([block, block.subarray(0, 100)]), /unexpected EOF/],
  ] as const)
    for (const piece of [100, 4096]) assert.throws(() => parse(Buffer.concat([header, body, rest]), piece), message)
})

test('what comes before damage is read, however much is read at once', async () => {
  const header = encodeTarHeader(tarEntry({ path: 'x' }))
  const damaged = Buffer.concat([header, Buffer.alloc(512, 'y')])
  for (const pieces of [[damaged], [damaged.subarray(0, 600), damaged.subarray(600)]]) {
    const seen: string[] = []
    const reading = async (): Promise<void> => {
      for await (const { entry } of readTar(Readable.from(pieces))) seen.push(entry.path)
    }
    await assert.rejects(reading(), /invalid tar header/)
    assert.deepEqual(seen, ['x'])
  }
})

test('damage is refused', () => {
  const whole = execFileSync('tar', ['-C', tree, '--format=gnu', '-c', 'a'])
  const bad = (archive: Buffer): void =>
    assert.throws(
      () => parse(archive, 4096),
      (error) => isError(error, 'invalid'),
    )
  bad(whole.subarray(0, 700))
  bad(Buffer.concat([Buffer.from('not a tar archive at all'), Buffer.alloc(1000, 'x')]))
  const flipped = Buffer.from(whole)
  flipped[0] = flipped[0]! ^ 1
  bad(flipped)
  // A PAX header that claims a gigabyte must not be buffered.
  const huge = encodeTarHeader(tarEntry({ path: 'x', size: 1 << 30 }))
  huge.write('x', 156)
  huge.fill(0x20, 148, 156)
  let sum = 0
  for (const byte of huge) sum += byte
  huge.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1')
  bad(Buffer.concat([huge, Buffer.alloc(2048)]))
})

test('too many entries, too long a path', () => {
  const header = encodeTarHeader(tarEntry({ path: 'x' }))
  const many = new TarParser({ entry: () => {}, data: () => {}, end: () => {} }, { entries: 5 })
  assert.throws(() => many.push(Buffer.concat(Array(6).fill(header))), /more than 5 entries/)
  const long = encodeTarHeader(tarEntry({ path: 'x/'.repeat(3000) }))
  assert.throws(() => parse(Buffer.concat([long, tarEnd]), 4096), /path too long/)
})

test('zstd in many frames, with some to be skipped among them, however it comes', async () => {
  const large = Buffer.from(Array.from({ length: 5 << 20 }, (_, i) => (i * 31 + (i >> 8)) % 251))
  const noise = randomBytes(2 << 20)
  const skipped = (magic: number, size: number): Buffer => {
    const frame = Buffer.alloc(8 + size, 1)
    frame.writeUInt32LE(magic)
    frame.writeUInt32LE(size, 4)
    return frame
  }
  const checked = (data: Buffer) => zstdCompressSync(data, { params: { [constants.ZSTD_c_checksumFlag]: 1 } })
  const parts = [Buffer.from('one'), Buffer.alloc(0), large, Buffer.alloc(9 << 20), noise, Buffer.from('last')]
  const packed = Buffer.concat([
    skipped(0x184d2a50, 0),
    ...parts.flatMap((part, i) => [i % 2 ? zstdCompressSync(part) : checked(part), skipped(0x184d2a5f, i * 100)]),
  ])
  const unpacked = async (size: number, end = packed.length): Promise<Buffer> => {
    const pieces = Array.from({ length: Math.ceil(end / size) }, (_, i) =>
      packed.subarray(i * size, Math.min(end, (i + 1) * size)),
    )
    return collect(await decompress(Readable.from(pieces)))
  }
  for (const size of [997, 65_536, packed.length])
    assert.ok(Buffer.concat(parts).equals(await unpacked(size)), `in pieces of ${size}`)
  await assert.rejects(unpacked(65_536, packed.length - 600), /unexpected end of file/)
  const damaged = Buffer.concat([checked(Buffer.from('one')), Buffer.from('no frame')])
  await assert.rejects(
    async () => collect(await decompress(Readable.from([damaged]))),
    (error) => isError(error, 'invalid') && /no Zstandard frame/.test(error.message),
  )
  const wrong = checked(Buffer.from('one'))
  wrong[wrong.length - 1]! ^= 1
  await assert.rejects(async () => collect(await decompress(Readable.from([wrong]))), /checksum/)
})

test('decompress knows gzip, zstd and plain, however small the pieces', async () => {
  const plain = Buffer.from('hello hello hello')
  for (const packed of [plain, gzipSync(plain), zstdCompressSync(plain), Buffer.alloc(0)]) {
    const out = await collect(await decompress(Readable.from(Array.from(packed, (byte) => Buffer.from([byte])))))
    assert.deepEqual(out, packed.length === 0 ? packed : plain)
  }
  await assert.rejects(async () => collect(await decompress(Readable.from([gzipSync(plain).subarray(0, 15)]))))
  await assert.rejects(decompress(Readable.from([Buffer.from('BZh91AY')])), (error) => isError(error, 'unsupported'))
})
