import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import * as http2 from 'node:http2'
import { connect, createServer, type Server, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import type { RemoteEntry, RemoteTransfer } from '../../../build/types.ts'
import { GrpcClient } from './client.ts'
import { goMode } from './file-mode.ts'
import { remoteDirectory } from './file-sync.ts'
import { frameOf, Unframer } from './frames.ts'
import { Packet, packetTypes } from './messages.ts'
import type { Session } from './session.ts'

type Files = Record<string, { text: string; time?: number }>

const directory = mkdtempSync(join(tmpdir(), 'slipway-file-sync-'))
let told: Files = {}
/** The stream is cut after these many bytes each, however messages lie. */
let cut = 1
let server: Server
let client: GrpcClient
let socket: Socket

/** A client's side: tells of its files, sends those that are asked for. */
const serve = (stream: http2.ServerHttp2Stream): void => {
  stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true })
  stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }))
  const say = (packet: Parameters<typeof Packet.encode>[0]): Buffer => frameOf(Packet.encode(packet))
  const entries = Object.entries(told).map(([path, { text, time = 1 }]) =>
    say({
      stat: {
        path,
        mode: goMode(0o100644),
        size: text.length,
        modTime: BigInt(time) * 10n ** 18n,
        linkname: '',
      } as never,
    }),
  )
  const all = Buffer.concat([...entries, say({ type: packetTypes.stat })])
  for (let at = 0; at < all.length; at += cut) stream.write(all.subarray(at, at + cut))
  const unframer = new Unframer()
  stream.on('data', (chunk: Buffer) => {
    for (const message of unframer.push(chunk)) {
      const { type, ID } = Packet.decode(message)
      if (type === packetTypes.fin) stream.end(say({ type: packetTypes.fin }))
      else {
        const data = Buffer.from(Object.values(told)[ID]!.text)
        for (const each of [data, Buffer.alloc(0)]) stream.write(say({ type: packetTypes.data, ID, data: each }))
      }
    }
  })
}

before(async () => {
  server = createServer((accepted) => {
    const session = http2.performServerHandshake(accepted)
    session.on('stream', serve)
    session.on('error', () => {})
  })
  await new Promise<void>((go) => server.listen(join(directory, 's'), go))
  socket = connect(join(directory, 's'))
  client = new GrpcClient(socket)
})
after(() => {
  client.close()
  socket.destroy()
  server.close()
  rmSync(directory, { recursive: true })
})

const open = (earlier: Uint8Array): RemoteTransfer => {
  const session = { id: 'i', name: 'n', sharedKey: 'k', client, serves: () => true } satisfies Session
  return remoteDirectory(session, 'context').open({ exclude: [], before: earlier }, AbortSignal.timeout(20_000))
}

const entriesOf = async (transfer: RemoteTransfer): Promise<RemoteEntry[]> => {
  const found: RemoteEntry[] = []
  for await (const batch of transfer.entries) found.push(...batch)
  return found
}

/** What a transfer says and gives; everything is asked for where it is not the same. */
const transferred = async (files: Files, earlier: Uint8Array) => {
  told = files
  const transfer = open(earlier)
  const same = await transfer.same
  const entries = same ? transfer.known() : await entriesOf(transfer)
  const texts: Files = {}
  for (const entry of entries) {
    const text: Uint8Array[] = []
    texts[entry.path] = { text: '', time: Number(entry.mtimeNs / 10n ** 18n) }
    transfer.read(entry, (chunk) => {
      if (chunk) text.push(Buffer.from(chunk))
      else texts[entry.path]!.text = Buffer.concat(text).toString()
    })
  }
  await transfer.finish()
  const again = transfer.told()
  transfer.close()
  return { same, texts, told: again }
}

const withTimes = (files: Files): Files =>
  Object.fromEntries(Object.entries(files).map(([path, { text, time = 1 }]) => [path, { text, time }]))

test('entries that are told again in the same bytes are known to be the same, and all others are read, wherever the stream is cut', async () => {
  const first: Files = { a: { text: 'one' }, b: { text: 'two' }, c: { text: 'three' } }
  const others: Record<string, Files> = {
    'the last is gone': { a: first.a!, b: first.b! },
    'the first is gone': { b: first.b!, c: first.c! },
    'one more at the end': { ...first, d: { text: 'four' } },
    'another time in the middle': { ...first, b: { text: 'two', time: 2 } },
    'another size at the end': { ...first, c: { text: 'threee' } },
    nothing: {},
  }
  for (cut of [1, 3, 7, 64, 10_000]) {
    const initial = await transferred(first, Buffer.alloc(0))
    assert.deepEqual([initial.same, initial.texts], [false, withTimes(first)])
    const again = await transferred(first, initial.told)
    assert.deepEqual(
      [again.same, again.texts, Buffer.from(again.told)],
      [true, withTimes(first), Buffer.from(initial.told)],
    )
    for (const [what, files] of Object.entries(others)) {
      const other = await transferred(files, initial.told)
      assert.deepEqual([other.same, other.texts], [false, withTimes(files)], what)
      assert.equal((await transferred(files, other.told)).same, true, what)
    }
  }
})

test('many small entries are left to gather', async () => {
  cut = 1000
  const files: Files = Object.fromEntries(Array.from({ length: 1000 }, (_, i) => [`file ${i}`, { text: 'x' }]))
  const { told: earlier } = await transferred(files, Buffer.alloc(0))
  const handle = (socket as unknown as { _handle: { readStop(): unknown } })._handle
  const { readStop } = handle
  let stopped = 0
  handle.readStop = function (this: unknown) {
    stopped++
    return readStop.call(this)
  }
  told = files
  const transfer = open(earlier)
  assert.equal(await transfer.same, true)
  assert.ok(stopped > 0)
  await transfer.finish()
  transfer.close()
})

test('a session that ends within what was told before is an error, and not the same', async () => {
  cut = 10_000
  const { told: earlier } = await transferred({ a: { text: 'one' } }, Buffer.alloc(0))
  const transfer = open(Buffer.concat([earlier, earlier]))
  setTimeout(() => client.close(), 50)
  assert.equal(await transfer.same, false)
  await assert.rejects(entriesOf(transfer), { code: 'unavailable' })
  await assert.rejects(transfer.finish(), { code: 'unavailable' })
})
