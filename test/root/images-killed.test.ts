/** kill -9 at any instant loses nothing that was promised and leaks nothing. */
import assert from 'node:assert/strict'
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { createReadStream, createWriteStream, existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { test } from 'node:test'
import { createImages } from '../../src/engine/images/index.ts'
import { createSnapshots } from '../../src/engine/snapshots/index.ts'
import { packTar, tarEntry } from '../../src/lib/tar/index.ts'
import { sha256 } from '../../src/spec/oci/index.ts'
import { startRegistry } from '../clients/images-kit.ts'
import { openHome, temporaryHome } from './images-setup.ts'

/** A docker archive of three layers, each of many files and in an order that has to be kept as a blob. */
const archive = async (file: string): Promise<void> => {
  const layers: Buffer[] = []
  for (const layer of ['a', 'b', 'c']) {
    const members = Array.from({ length: 120 }, (_, i) => {
      const body = Buffer.alloc(4096, `${layer}${i}`)
      return { entry: tarEntry({ path: `${layer}/${999 - i}`, size: body.length }), body }
    })
    const parts: Buffer[] = []
    for await (const part of packTar(members)) parts.push(part as Buffer)
    layers.push(Buffer.concat(parts))
  }
  const config = Buffer.from(
    JSON.stringify({ os: 'linux', architecture: 'amd64', rootfs: { type: 'layers', diff_ids: layers.map(sha256) } }),
  )
  const manifest = Buffer.from(
    JSON.stringify([{ Config: 'config.json', RepoTags: ['killed:1'], Layers: ['0', '1', '2'] }]),
  )
  const files: [string, Buffer][] = [
    ['config.json', config],
    ...layers.map((body, i): [string, Buffer] => [String(i), body]),
    ['manifest.json', manifest],
  ]
  await pipeline(
    packTar(files.map(([path, body]) => ({ entry: tarEntry({ path, size: body.length }), body }))),
    createWriteStream(file),
  )
}

/** What a daemon of these tests has, and its end. */
const openRooms = (dir: string) => {
  const { deps, close } = openHome(dir)
  const snapshots = createSnapshots(deps)
  const images = createImages(deps, snapshots, { imageInUse: () => [] })
  return { deps, snapshots, images, close }
}
const namesIn = (path: string): string[] => (existsSync(path) ? readdirSync(path) : [])

/** Another one by the same code in a process of its own, killed so long after a word (default: its first); what it has said. */
const killed = async (env: Record<string, string>, afterMs: number, word?: string): Promise<string[]> => {
  const child = fork(import.meta.filename, {
    env: { ...process.env, ...env },
    execArgv: [],
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  })
  const said: string[] = []
  child.on('message', (message) => {
    said.push(String(message))
    if (word === undefined ? said.length === 1 : message === word) setTimeout(() => child.kill('SIGKILL'), afterMs)
  })
  const [, signal] = await once(child, 'close')
  assert.equal(signal, 'SIGKILL', `it ended by itself after "${said.at(-1)}"`)
  return said
}

if (process.env.SLIPWAY_TEST_PUSH) {
  // This daemon goes through everything that has to do with a registry, each time in another repository.
  const [dir = '', registry = '', round = ''] = process.env.SLIPWAY_TEST_PUSH.split(' ')
  const { images } = openRooms(dir)
  const say = (word: string): void => void process.send!(word)
  for (let turn = 0; ; turn++) {
    const name = `${registry}/turn-${round}-${turn}:1`
    say('load')
    await images.load(createReadStream(join(dir, 'archive.tar')))
    await images.tag('killed:1', name)
    say('push')
    await images.push(name)
    say(`pushed ${name}`)
    say('prune')
    await images.prune({ all: true })
    say('pull')
    await images.pull(name, { bootstrap: false })
    say('remove')
    await images.remove(name)
  }
}

if (process.env.SLIPWAY_TEST_LOAD) {
  // The daemon of this test: loads, says so, removes, says so, and so on.
  const { images } = openRooms(process.env.SLIPWAY_TEST_LOAD)
  process.send!('removed')
  for (;;) {
    await images.load(createReadStream(join(process.env.SLIPWAY_TEST_LOAD, 'archive.tar')))
    process.send!('loaded')
    await images.remove('killed:1')
    process.send!('removed')
  }
}

test('a daemon killed while it loads and removes images', async () => {
  const home = temporaryHome()
  try {
    await archive(join(home.dir, 'archive.tar'))
    let inTheMiddle = 0
    // The moments are drawn from the child's own start on, until enough of them fell into the middle of something.
    for (let round = 0; round < 40 && (round < 8 || inTheMiddle < 3); round++) {
      const last = (await killed({ SLIPWAY_TEST_LOAD: home.dir }, 5 + 23 * (round % 13))).at(-1)
      const { deps, snapshots, images, close } = openRooms(home.dir)
      const leftovers = ['content/ingest', 'snapshots'].flatMap((each) => namesIn(join(deps.instance.stateDir, each)))
      if (leftovers.length > 0) inTheMiddle++
      await snapshots.recover()
      await images.recover()
      const image = await images.get('killed:1')
      // What it has said is so; between two words either may be.
      const infos = await snapshots.list()
      assert.equal(infos.length, image ? 3 : 0, `round ${round}, after "${last}"`)
      for (const { path } of infos) assert.equal(readdirSync(path).length, 1)
      assert.equal(namesIn(join(deps.instance.stateDir, 'snapshots')).length, infos.length)
      const content = join(deps.instance.stateDir, 'content')
      assert.equal(namesIn(join(content, 'blobs/sha256')).length, image ? 3 : 0)
      assert.deepEqual(namesIn(join(content, 'ingest')), [])
      await images.load(createReadStream(join(home.dir, 'archive.tar')))
      for await (const _ of await images.save(['killed:1']));
      await images.remove('killed:1')
      await snapshots.close()
      close()
    }
    assert.ok(inTheMiddle >= 3, 'hardly a kill came in the middle: this test tests nothing')
  } finally {
    home.remove()
  }
})

test('killed before a layer was held, and after the record of an image went', async () => {
  const home = temporaryHome()
  try {
    await archive(join(home.dir, 'archive.tar'))
    const before = openRooms(home.dir)
    const image = (await before.images.load(createReadStream(join(home.dir, 'archive.tar'))))[0]!
    await before.images.tag('killed:1', 'stays:1')
    const loose = { file: join(home.dir, 'archive.tar') }
    await before.snapshots.unpack(`sha256:${'1'.repeat(64)}`, undefined, loose)
    await before.snapshots.unpack(`sha256:${'2'.repeat(64)}`, `sha256:${'1'.repeat(64)}`, loose)
    await before.snapshots.unpack(`sha256:${'3'.repeat(64)}`, image.snapshots.at(-1), loose)
    await before.snapshots.close()
    before.close()
    for (const forgotten of [false, true]) {
      const { deps, snapshots, images, close } = openRooms(home.dir)
      if (forgotten)
        for (const table of ['image_names', 'image_digests', 'image_layers', 'image_manifests', 'images'])
          deps.db.exec(`DELETE FROM ${table}`)
      await snapshots.recover()
      await images.recover()
      const keys = forgotten ? [] : image.snapshots
      assert.deepEqual(snapshots.keys().sort(), [...keys].sort())
      assert.equal(namesIn(join(deps.instance.stateDir, 'snapshots')).length, keys.length)
      if (!forgotten) for await (const _ of await images.save(['stays:1']));
      await snapshots.close()
      close()
    }
  } finally {
    home.remove()
  }
})

test('a daemon killed while it pushes, prunes and pulls', async () => {
  const home = temporaryHome()
  const registry = await startRegistry(home.dir)
  const promised = new Set<string>()
  try {
    await archive(join(home.dir, 'archive.tar'))
    const moments = ['push 0', 'push 20', 'push 60', 'prune 2', 'pull 5', 'pull 30']
    const interrupted = new Set<string>()
    for (const [round, moment] of moments.entries()) {
      const [word = '', after] = moment.split(' ')
      const env = { SLIPWAY_TEST_PUSH: `${home.dir} ${registry.host} ${round}` }
      const said = await killed(env, Number(after), word)
      for (const word of said) if (word.startsWith('pushed ')) promised.add(word.slice('pushed '.length))
      interrupted.add(said.at(-1)!)
      const { deps, snapshots, images, close } = openRooms(home.dir)
      await snapshots.recover()
      await images.recover()
      const when = `${moment} ms, after "${said.at(-1)}"`
      const { stateDir } = deps.instance
      const [image] = await images.list()
      const infos = await snapshots.list()
      assert.equal(infos.length, image ? 3 : 0, when)
      assert.equal(namesIn(join(stateDir, 'snapshots')).length, infos.length, when)
      assert.equal(namesIn(join(stateDir, 'content/blobs/sha256')).length, image ? 3 : 0, when)
      // What a download has come to stays for the next one.
      const ingest = namesIn(join(stateDir, 'content/ingest'))
      assert.deepEqual(
        ingest.filter((name) => !name.endsWith('.partial')),
        [],
        when,
      )
      for await (const _ of image ? await images.save(image.names) : []);
      // The next push, of the same layers into the same registry, is whole.
      await images.load(createReadStream(join(home.dir, 'archive.tar')))
      const next = `${registry.host}/next-${round}:1`
      await images.tag('killed:1', next)
      await images.push(next)
      promised.add(next)
      await images.prune({ all: true })
      assert.deepEqual([await snapshots.list(), namesIn(join(stateDir, 'content/ingest'))], [[], []], when)
      await snapshots.close()
      close()
    }
    for (const word of ['push', 'pull'])
      assert.ok(interrupted.has(word), `never killed in a ${word}: ${[...interrupted]}`)
    // Each pull verifies every byte.
    const { snapshots, images, close } = openRooms(home.dir)
    for (const name of promised) {
      await images.pull(name, { bootstrap: false })
      await images.remove(name)
    }
    await snapshots.close()
    close()
  } finally {
    registry.stop()
    home.remove()
  }
})
