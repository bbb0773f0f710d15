/** Other tools read the archives we write, and we read theirs. Needs skopeo. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { createReadStream, createWriteStream } from 'node:fs'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { after, test } from 'node:test'
import { createImages } from '../../src/engine/images/index.ts'
import { createSnapshots } from '../../src/engine/snapshots/index.ts'
import { packTar, tarEntry } from '../../src/lib/tar/index.ts'
import { temporaryHome } from '../root/images-setup.ts'

const home = temporaryHome()
const snapshots = createSnapshots(home.deps)
const images = createImages(home.deps, snapshots, { imageInUse: () => [] })
after(async () => {
  await snapshots.close()
  home.remove()
})
const skopeo = (...args: string[]): string =>
  execFileSync('skopeo', ['--insecure-policy', ...args], {
    encoding: 'utf8',
    env: { ...process.env, TMPDIR: home.dir },
  })

test('skopeo reads our archive as docker-archive and as oci-archive, and we read what it writes', async () => {
  const members = ['etc/', 'etc/hello', 'ü'].map((path) => ({
    entry: tarEntry({ path, type: path.endsWith('/') ? 'directory' : 'file', size: path.endsWith('/') ? 0 : 5 }),
    body: Buffer.from('hello'),
  }))
  const image = await images.import(packTar(members), { name: 'made:1', config: { Cmd: ['/bin/x'], Env: ['A=b'] } })
  const ours = join(home.dir, 'ours.tar')
  await pipeline(await images.save(['made:1']), createWriteStream(ours))
  for (const kind of ['docker-archive', 'oci-archive']) {
    const config = JSON.parse(skopeo('inspect', '--config', `${kind}:${ours}`))
    assert.deepEqual(config.rootfs, image.config.rootfs)
    const written = join(home.dir, `${kind}-theirs.tar`)
    for (const out of ['docker-archive', 'oci-archive']) {
      const theirs = join(home.dir, `${kind}-${out}.tar`)
      skopeo('copy', `${kind}:${ours}`, `${out}:${theirs}:docker.io/library/theirs:1`)
      const [loaded] = await images.load(createReadStream(theirs))
      assert.deepEqual(loaded!.config.rootfs, image.config.rootfs, written)
      assert.ok(loaded!.names.includes('docker.io/library/theirs:1'))
    }
  }
})
