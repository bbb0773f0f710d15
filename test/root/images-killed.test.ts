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

if (process.env.SLIPWAY_TEST_LOAD) {
  // The daemon of this test: loads, says so, removes, says so, and so on.
  const { deps } = openHome(process.env.SLIPWAY_TEST_LOAD)
  const snapshots = createSnapshots(deps)
  const images = createImages(deps, snapshots, { imageInUse: () => [] })
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
      const child = fork(import.meta.filename, {
        env: { ...process.env, SLIPWAY_TEST_LOAD: home.dir },
        execArgv: [],
        stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
      })
      let last = 'removed'
      child.once('message', () => setTimeout(() => child.kill('SIGKILL'), 5 + 23 * (round % 13)))
      child.on('message', (message) => (last = String(message)))
      await once(child, 'close')
      const { deps, close } = openHome(home.dir)
      const snapshots = createSnapshots(deps)
      const images = createImages(deps, snapshots, { imageInUse: () => [] })
      const leftovers = ['content/ingest', 'snapshots'].flatMap((each) => {
        const directory = join(deps.instance.stateDir, each)
        return existsSync(directory) ? readdirSync(directory) : []
      })
      if (leftovers.length > 0) inTheMiddle++
      await snapshots.recover()
      await images.recover()
      const image = await images.get('killed:1')
      // What it has said is so; between two words either may be.
      const infos = await snapshots.list()
      assert.equal(infos.length, image ? 3 : 0, `round ${round}, after "${last}"`)
      for (const { path } of infos) assert.equal(readdirSync(path).length, 1)
      const directory = join(deps.instance.stateDir, 'snapshots')
      assert.equal(existsSync(directory) ? readdirSync(directory).length : 0, infos.length)
      const content = join(deps.instance.stateDir, 'content')
      assert.equal(existsSync(content) ? readdirSync(join(content, 'blobs/sha256')).length : 0, image ? 3 : 0)
      assert.deepEqual(existsSync(content) ? readdirSync(join(content, 'ingest')) : [], [])
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
